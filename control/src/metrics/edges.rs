//! Metrics of the edges, as they are in the database when the metrics are read.

use super::{State, gauge};
use crate::db::edges::Edge;
use crate::standing::{is_connected, is_stalled, lag_seconds};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// Edges that have metrics of their own.
const EDGES_MAX: usize = 1_000;

/// Gauges of the edges.
pub(super) struct Edges {
    connected: IntGauge,
    stalled: IntGauge,
    away: IntGauge,
    up: IntGaugeVec,
    lag: IntGaugeVec,
    lag_seconds: IntGaugeVec,
}

impl Edges {
    /// Everything at zero.
    pub(super) fn new() -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("longshore_control_{name}"), help);
        let stalled = "Edges that report, but have adopted nothing for too long.";
        let away = "Edges that have not reported for 20 seconds, but in the last 30 days.";
        let seconds = "Seconds that an edge has adopted nothing though there was something.";
        Ok(Self {
            connected: IntGauge::with_opts(opts(
                "edges_connected",
                "Edges that reported in the last 20 seconds.",
            ))?,
            stalled: IntGauge::with_opts(opts("edges_stalled", stalled))?,
            away: IntGauge::with_opts(opts("edges_away", away))?,
            up: IntGaugeVec::new(
                opts("edge_connected", "1 for an edge that reported in the last 20 seconds."),
                &["edge"],
            )?,
            lag: IntGaugeVec::new(
                opts("edge_lag", "Numbers of the feed that an edge has not adopted."),
                &["edge"],
            )?,
            lag_seconds: IntGaugeVec::new(opts("edge_lag_seconds", seconds), &["edge"])?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for gauge in [&self.connected, &self.stalled, &self.away] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for gauges in [&self.up, &self.lag, &self.lag_seconds] {
            registry.register(Box::new(gauges.clone()))?;
        }
        Ok(())
    }

    /// Takes over how the edges are; those that are not known any more are dropped.
    pub(super) fn set(&self, edges: &[Edge], state: &State<'_>) {
        let count =
            |is: &dyn Fn(&Edge) -> bool| gauge(edges.iter().filter(|edge| is(edge)).count() as u64);
        self.connected.set(count(&|edge| is_connected(edge, state.now)));
        self.stalled.set(count(&|edge| is_stalled(edge, state.ack_limit, state.now)));
        self.away.set(count(&|edge| !is_connected(edge, state.now)));
        [&self.up, &self.lag, &self.lag_seconds].into_iter().for_each(|gauges| gauges.reset());
        for edge in edges.iter().take(EDGES_MAX) {
            let label = &[edge.id.as_str()];
            self.up.with_label_values(label).set(i64::from(is_connected(edge, state.now)));
            let lag = state.newest.saturating_sub(edge.adopted);
            self.lag.with_label_values(label).set(gauge(lag));
            self.lag_seconds.with_label_values(label).set(gauge(lag_seconds(edge, state.now)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::time::Duration;

    #[test]
    fn edges_are_counted_and_told_apart() {
        let edges: Vec<Edge> = (0..1_200)
            .map(|index: i64| Edge {
                id: format!("edge_{index:026}").parse().unwrap(),
                region: None,
                adopted: 5,
                acked: 5,
                behind_since: (index % 2 == 0).then_some(Moment(60_000)),
                first_seen: Moment(0),
                last_seen: Moment(if index < 1_000 { 100_000 } else { 1 }),
            })
            .collect();
        let metrics = super::super::Metrics::new().unwrap();
        let state = State {
            newest: 7,
            connections: (1, 1),
            waiters: 0,
            edges: Some(&edges),
            domains: None,
            certificates: None,
            ack_limit: Duration::from_secs(30),
            now: Moment(100_000),
        };
        let text = String::from_utf8(metrics.render(&state)).unwrap();
        for line in [
            "longshore_control_database_up 1",
            "longshore_control_edges_connected 1000",
            "longshore_control_edges_stalled 500",
            "longshore_control_edges_away 200",
            r#"longshore_control_edge_lag_seconds{edge="edge_00000000000000000000000002"} 40"#,
            r#"longshore_control_edge_lag{edge="edge_00000000000000000000000003"} 2"#,
            r#"longshore_control_edge_connected{edge="edge_00000000000000000000000004"} 1"#,
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert_eq!(text.matches("longshore_control_edge_lag{").count(), 1_000);
    }
}
