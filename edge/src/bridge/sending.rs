//! The response to one request, as it is sent. Whoever waits for it to be sent may stop waiting, and go on later: nothing
//! is lost, and nothing is sent twice.

use super::{Exchange, answer};
use crate::clock;
use crate::listen::{Watch, watched};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What has been sent of a response, and what is to be.
#[derive(Default)]
pub(super) struct Sending {
    /// The final head.
    pub(super) head: Option<Box<ResponseHeader>>,
    declared: Option<u64>,
    /// Bytes of the body that were to be sent, and that were.
    given: u64,
    pub(super) sent: u64,
    /// The last has been said.
    pub(super) has_ended: bool,
    /// Bytes pass as they are, both ways.
    pub(super) is_upgraded: bool,
    /// What is on its way.
    piece: Option<Piece>,
    tasks: VecDeque<HttpTask>,
    /// A task has ended the response.
    is_over: bool,
    pub(super) takes_tasks: bool,
    /// How slowly it may take something.
    watch: Option<Watch>,
    /// How long a client may take nothing.
    pub(super) timeout: Option<Duration>,
}

/// A piece of the body, or nothing but the wait for what goes before it.
struct Piece {
    data: Bytes,
    ends: bool,
    /// When the client has stalled.
    deadline: Option<Instant>,
}

impl Sending {
    pub(super) fn watched(watch: Option<Watch>) -> Self {
        Self { watch, ..Self::default() }
    }

    /// Nothing more is to be said, or can be.
    pub(super) fn is_settled(&self) -> bool {
        self.has_ended && self.piece.is_none()
    }

    pub(super) fn has_tasks(&self) -> bool {
        self.piece.is_some() || !self.tasks.is_empty()
    }

    pub(super) fn add_task(&mut self, task: HttpTask) {
        self.tasks.push_back(task);
    }

    /// Sends what waits. True once the response is over.
    pub(super) async fn send_tasks<E: Exchange>(&mut self, to: &mut To<'_, E>) -> Result<bool> {
        self.send_piece(to.exchange).await?;
        while let Some(task) = self.tasks.pop_front() {
            self.send_task(task, to).await?;
        }
        if self.is_over {
            self.finish(to.exchange).await?;
        }
        Ok(self.is_over)
    }

    async fn send_task<E: Exchange>(&mut self, task: HttpTask, to: &mut To<'_, E>) -> Result<()> {
        match task {
            HttpTask::Header(head, ends) => {
                self.is_over |= ends;
                self.send_head(head, ends, to).await
            }
            HttpTask::Body(data, ends) | HttpTask::UpgradedBody(data, ends) => {
                self.is_over |= ends;
                match data.filter(|data| !data.is_empty()) {
                    Some(data) => self.send_body(data, ends, to.exchange).await,
                    None => Ok(()),
                }
            }
            HttpTask::Trailer(Some(fields)) => {
                self.is_over = true;
                self.send_trailers(*fields, to.exchange).await
            }
            HttpTask::Trailer(None) | HttpTask::Done => {
                self.is_over = true;
                Ok(())
            }
            HttpTask::Failed(error) => Err(error),
        }
    }

    /// Sends the final head. Others are left out: [`super::Bridge`] has a way of its own for interim ones.
    pub(super) async fn send_head<E: Exchange>(
        &mut self,
        head: Box<ResponseHeader>,
        ends: bool,
        to: &mut To<'_, E>,
    ) -> Result<()> {
        let upgrades = to.is_upgrade && head.status == StatusCode::SWITCHING_PROTOCOLS;
        if self.head.is_some() || (head.status.is_informational() && !upgrades) {
            return Ok(());
        }
        let ends = ends || (!upgrades && answer::is_bodyless(to.method, &head));
        let response = answer::last_head(&head, clock::wall());
        self.is_upgraded = upgrades;
        self.declared = answer::declared_length(&head).filter(|_| !upgrades);
        self.head = Some(head);
        self.has_ended = ends;
        // who stops waiting here waits for nothing but this next
        let deadline = self.deadline();
        self.piece = Some(Piece { data: Bytes::new(), ends, deadline });
        within(deadline, to.exchange.send_head(response, ends)).await?;
        self.piece = None;
        Ok(())
    }

    pub(super) async fn send_body<E: Exchange>(
        &mut self,
        data: Bytes,
        ends: bool,
        exchange: &mut E,
    ) -> Result<()> {
        self.send_piece(exchange).await?;
        if self.has_ended {
            return Ok(());
        }
        if self.head.is_none() {
            return Err(broken("a body without a head"));
        }
        self.given += data.len() as u64;
        if self.declared.is_some_and(|declared| self.given > declared) {
            return Err(broken("a body longer than its head says"));
        }
        if ends {
            self.check_whole()?;
        }
        self.piece = Some(Piece { data, ends, deadline: self.deadline() });
        self.send_piece(exchange).await
    }

    pub(super) async fn send_trailers<E: Exchange>(
        &mut self,
        fields: HeaderMap,
        exchange: &mut E,
    ) -> Result<()> {
        self.send_piece(exchange).await?;
        if self.has_ended || self.head.is_none() {
            return Ok(());
        }
        self.check_whole()?;
        self.has_ended = true;
        let deadline = self.deadline();
        self.piece = Some(Piece { data: Bytes::new(), ends: true, deadline });
        within(deadline, exchange.send_trailers(answer::trailers(fields))).await?;
        self.piece = None;
        Ok(())
    }

    /// Ends a response that has begun.
    pub(super) async fn finish<E: Exchange>(&mut self, exchange: &mut E) -> Result<()> {
        self.send_piece(exchange).await?;
        if self.has_ended || self.head.is_none() {
            return Ok(());
        }
        self.check_whole()?;
        self.piece = Some(Piece { data: Bytes::new(), ends: true, deadline: self.deadline() });
        self.send_piece(exchange).await
    }

    /// Sends what is on its way to its end.
    async fn send_piece<E: Exchange>(&mut self, exchange: &mut E) -> Result<()> {
        while let Some(piece) = &mut self.piece {
            let before = piece.data.len();
            let sending = async {
                exchange.send_data(&mut piece.data, piece.ends).await?;
                Ok(before - piece.data.len())
            };
            let sending = watched(&mut self.watch, sending, |sent| *sent);
            within(piece.deadline, async { sending.await.map(drop) }).await?;
            self.sent += (before - piece.data.len()) as u64;
            if piece.data.is_empty() {
                self.has_ended |= piece.ends;
                self.piece = None;
            } else {
                piece.deadline = self.timeout.map(|timeout| Instant::now() + timeout);
            }
        }
        Ok(())
    }

    /// A body that is shorter than its head says must not look whole.
    fn check_whole(&self) -> Result<()> {
        match self.declared {
            Some(declared) if self.given < declared => {
                Err(broken("a body shorter than its head says"))
            }
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now() + timeout)
    }
}

/// Whom a response is sent to.
pub(super) struct To<'e, E> {
    pub(super) exchange: &'e mut E,
    pub(super) method: &'e Method,
    pub(super) is_upgrade: bool,
}

/// Waits for something to be sent, no longer than to a deadline.
async fn within(
    deadline: Option<Instant>,
    sending: impl Future<Output = io::Result<()>>,
) -> Result<()> {
    let sent = match deadline {
        Some(deadline) => timeout_at(deadline, sending).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))
        }),
        None => sending.await,
    };
    sent.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => ErrorType::WriteTimedout,
            _ => ErrorType::WriteError,
        };
        Error::because(kind, "sending to the client", error).into_down()
    })
}

fn broken(why: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why).into_in()
}
