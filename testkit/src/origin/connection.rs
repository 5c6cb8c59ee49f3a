//! One connection to the origin: reads requests, records them, plays the answers.

use super::answer::{Answer, Ending, Framed, Step};
use super::{Live, Request, State, ranged};
use crate::message::{Broken, Framing};
use crate::wire::{Body, Wire};
use std::sync::Arc;
use tokio::net::TcpStream;

pub(super) async fn serve(stream: TcpStream, number: usize, state: Arc<State>) {
    let mut connection = Connection { wire: Wire::new(stream, false), number, state };
    // the test sees on its own side what broke; here the connection just ends
    while let Ok(true) = connection.exchange().await {}
}

struct Connection {
    wire: Wire,
    number: usize,
    state: Arc<State>,
}

impl Connection {
    /// Reads one request and answers it. False when the connection is not to be used again.
    async fn exchange(&mut self) -> Result<bool, Broken> {
        let head = self.wire.head().await?;
        let request = Request::new(&head, self.number);
        let (target, bodiless) = (request.target.clone(), request.method == "HEAD");
        let index = self.state.change(|inner| {
            inner.requests.push(request.clone());
            inner.requests.len() - 1
        });
        let mut answer = self.state.next_answer(&target);
        if answer.ranged {
            answer = ranged::answer(answer, &request);
        }
        let mut body = Body::new(Framing::of_request(&head.fields)?);
        if !answer.early {
            if head.fields.has("expect") && !answer.unwelcoming {
                self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            self.read(&mut body, index).await?;
        }
        self.play(&answer, bodiless).await?;
        let reusable = self.end(&answer, bodiless).await?;
        if answer.early && reusable {
            self.read(&mut body, index).await?;
        }
        Ok(reusable)
    }

    async fn read(&mut self, body: &mut Body, index: usize) -> Result<(), Broken> {
        while let Some(piece) = self.wire.piece(body).await? {
            self.state.change(|inner| inner.requests[index].body.extend_from_slice(&piece));
        }
        self.state.change(|inner| inner.requests[index].complete = true);
        Ok(())
    }

    async fn play(&mut self, answer: &Answer, bodiless: bool) -> Result<(), Broken> {
        let mut held = Vec::new();
        for step in &answer.steps {
            match step {
                Step::Head { status, fields } => {
                    held.extend_from_slice(answer.head(*status, fields).as_bytes());
                }
                Step::Body(_) | Step::Live(_) if bodiless => {}
                Step::Body(bytes) => held.extend_from_slice(&answer.piece(bytes)),
                Step::Raw(bytes) => held.extend_from_slice(bytes),
                Step::Wait(_) | Step::Live(_) | Step::Echo => {
                    self.wire.write(&std::mem::take(&mut held)).await?;
                    self.go_on(answer, step).await?;
                }
            }
            if !answer.at_once {
                self.wire.write(&std::mem::take(&mut held)).await?;
            }
        }
        self.wire.write(&held).await
    }

    /// A step that takes as long as the test wants.
    async fn go_on(&mut self, answer: &Answer, step: &Step) -> Result<(), Broken> {
        match step {
            Step::Wait(barrier) => barrier.released().await,
            Step::Live(live) => self.stream_live(answer, live).await?,
            Step::Echo => self.echo().await?,
            Step::Head { .. } | Step::Body(_) | Step::Raw(_) => {}
        }
        Ok(())
    }

    async fn stream_live(&mut self, answer: &Answer, live: &Live) -> Result<(), Broken> {
        let mut index = 0;
        while let Some(piece) = live.piece(index).await {
            self.wire.write(&answer.piece(&piece)).await?;
            index += 1;
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<(), Broken> {
        while let Some(bytes) = self.wire.some().await? {
            self.wire.write(&bytes).await?;
        }
        Ok(())
    }

    async fn end(&mut self, answer: &Answer, bodiless: bool) -> Result<bool, Broken> {
        match answer.ending {
            Ending::Complete => {
                if answer.framing == Framed::Chunked && !bodiless {
                    self.wire.write(b"0\r\n\r\n").await?;
                }
                Ok(answer.framing != Framed::UntilClose)
            }
            Ending::Close => Ok(false),
            Ending::Reset => {
                self.wire.stream.tcp().set_zero_linger()?;
                Ok(false)
            }
            Ending::Hang => {
                self.wire.rest().await?;
                Ok(false)
            }
        }
    }
}
