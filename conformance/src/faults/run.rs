//! The cycles of a run: load, rest, load, the end, a new start.

use super::Fault;
use super::ask::{Ask, Asker, Outcome};
use super::content::{Manner, SITES};
use super::damage;
use super::ledger::{Ending, Ledger};
use super::load::Load;
use super::stage::{Stage, name};
use super::tally::Tally;
use crate::differential::Random;
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;

/// Requests before the rest of a cycle, and before the edge is killed at most.
const REQUESTS: usize = 120;
/// Responses whose being stored is checked after a restart.
const KNOWN: usize = 40;
const DISTURBANCES_MAX: usize = 4;

pub(super) struct Run {
    fault: Fault,
    stage: Stage,
    random: Random,
    tally: Tally,
}

impl Run {
    pub(super) async fn begin(fault: Fault, seed: u64) -> Result<Self> {
        let stage = Stage::set(fault).await?;
        Ok(Self { fault, stage, random: Random::new(seed), tally: Tally::default() })
    }

    /// What was counted. What the edge logged is kept beside the program where anything was wrong.
    pub(super) fn end(mut self) -> Result<Tally> {
        if let Some(layer) = &self.stage.layer {
            let (calls, injected) = layer.counts()?;
            ensure!(calls > 0, "the fault layer saw none of the edge's calls");
            self.tally.injected += injected;
        }
        let log = self.stage.edge.program.log();
        log.lines().filter(|line| line.contains("panicked at")).for_each(|line| {
            self.tally.panicked(line);
        });
        if !self.tally.is_clean() {
            let own = std::env::current_exe()?;
            let directory = own.parent().context("a program stands in a directory")?;
            std::fs::write(directory.join(format!("faults-{}.log", self.fault)), log)?;
        }
        Ok(self.tally)
    }

    /// One cycle; in one that is `measured`, nothing is invalidated between the rest and the end.
    pub(super) async fn cycle(&mut self, measured: bool) -> Result<()> {
        let measured = measured && self.fault == Fault::Kill;
        self.load().await?;
        let known = if measured { self.know().await } else { Vec::new() };
        self.rest().await;
        let ending = self.load_to_the_end(!measured).await?;
        self.stage.ledger.ended(ending);
        if self.random.chance(50) {
            self.disturb()?;
        }
        self.start().await?;
        if measured {
            self.stage.recovered().await;
            self.recall(known).await;
        }
        self.tally.cycles += 1;
        Ok(())
    }

    fn begin_load(&mut self, is_unsafe: bool) -> Load {
        Load::start(&self.stage.ledger, self.stage.address(), is_unsafe, &mut self.random)
    }

    async fn load(&mut self) -> Result<()> {
        let load = self.begin_load(true);
        self.disturbed(&load).await?;
        if self.random.chance(30) {
            self.purge().await;
        }
        self.disturbed(&load).await?;
        self.tally += load.stop().await?;
        Ok(())
    }

    /// Goes on for a while, with faults.
    async fn disturbed(&mut self, load: &Load) -> Result<()> {
        for _ in 0..self.random.below(DISTURBANCES_MAX) {
            load.go_on(self.random.below(REQUESTS / DISTURBANCES_MAX)).await?;
            self.disturb()?;
        }
        load.go_on(self.random.below(REQUESTS / DISTURBANCES_MAX)).await
    }

    /// Purges a site of which some has changed, and waits until the edge says so.
    async fn purge(&mut self) {
        let site = self.random.below(SITES);
        let ledger = &self.stage.ledger;
        for index in 0..ledger.pages() {
            let page = Ledger::page(index);
            if page.site == site && self.random.chance(30) {
                ledger.publish(page);
            }
        }
        let moment = ledger.now();
        let seq = self.stage.control.purge(&name(site)).await;
        self.stage.control.wait_adopted(&self.stage.edge, seq).await;
        ledger.purged(site, &moment);
    }

    /// Has some responses stored, and returns which.
    async fn know(&mut self) -> Vec<Ask> {
        let mut asker = Asker::new(Arc::clone(&self.stage.ledger), self.stage.address());
        let mut known = Vec::new();
        while known.len() < KNOWN {
            let page = Ledger::page(self.random.below(self.stage.ledger.pages()));
            if matches!(page.manner(), Manner::Plain | Manner::Varied | Manner::Large) {
                let ask = Ask::whole(page, 0);
                self.tally.count(asker.get(&ask).await);
                known.push(ask);
            }
        }
        known
    }

    /// Asks for what is known to be stored.
    async fn recall(&mut self, known: Vec<Ask>) {
        let mut asker = Asker::new(Arc::clone(&self.stage.ledger), self.stage.address());
        for ask in known {
            let outcome = asker.get(&ask).await;
            self.tally.known += 1;
            self.tally.known_hits += u64::from(matches!(outcome, Outcome::Right { is_hit: true }));
            self.tally.count(outcome);
        }
    }

    /// Notes what is written, where that can be told.
    async fn rest(&mut self) {
        let floors = self.stage.ledger.floors();
        if self.stage.settles().await {
            self.stage.ledger.written(&floors);
        }
    }

    /// Load until the edge has ended.
    async fn load_to_the_end(&mut self, is_unsafe: bool) -> Result<Ending> {
        let load = self.begin_load(is_unsafe);
        self.disturbed(&load).await?;
        if is_unsafe && self.random.chance(20) {
            // one that may be under way when the edge is killed
            self.stage.control.purge(&name(self.random.below(SITES))).await;
        }
        let state = self.stage.disk_state().await;
        self.tally.out += state.out;
        self.tally.checksum_failures += state.checksum_failures;
        load.go_on(self.random.below(REQUESTS)).await?;
        load.ending();
        let is_orderly =
            matches!(self.fault, Fault::Kill | Fault::Crowded) && self.random.chance(10);
        if is_orderly {
            let code = self.stage.edge.program.stop().await;
            ensure!(code == Some(0), "the edge ended with {code:?}");
        } else {
            self.stage.edge.program.kill().await;
        }
        self.tally += load.stop().await?;
        Ok(match (self.fault.is_damage(), is_orderly) {
            (true, _) => Ending::Damaged,
            (false, true) => Ending::Orderly,
            (false, false) => Ending::Killed,
        })
    }

    /// Starts the edge; where it doesn't start, without faults.
    async fn start(&mut self) -> Result<()> {
        let Err(failed) = self.stage.start_edge().await else { return Ok(()) };
        self.tally.failed_start(&failed.to_string());
        if let Some(layer) = &self.stage.layer {
            layer.calm()?;
        }
        match self.stage.start_edge().await {
            Ok(()) => Ok(()),
            Err(failed) => bail!("{failed}"),
        }
    }

    /// Has something go wrong.
    fn disturb(&mut self) -> Result<()> {
        let (stage, random) = (&self.stage, &mut self.random);
        let directory = &stage.directories[random.below(stage.directories.len())];
        match self.fault {
            Fault::Kill | Fault::Crowded => {}
            Fault::Flip => {
                for _ in 0..1 + random.below(8) {
                    self.tally.injected += damage::flip(directory, random)?;
                }
            }
            Fault::Cut => self.tally.injected += damage::cut(directory, random)?,
            Fault::Vanish => {
                if random.chance(40) {
                    self.tally.injected += damage::vanish(directory, random)?;
                }
            }
            Fault::Full => {
                if let Some(small) = &stage.small {
                    small.change()?;
                    self.tally.injected += 1;
                }
            }
            Fault::Errors | Fault::Lies => {
                if let Some(layer) = &stage.layer {
                    layer.change(random)?;
                }
            }
        }
        Ok(())
    }
}
