//! One node's data and secrets, on their way to another node: ciphertext, a few pieces of it in memory at a time.

use bytes::{BufMut, BytesMut};
use tracing::Instrument;

use super::session::{NodeSession, next, next_body, out_of_turn};
use super::watched;
use crate::telemetry::traces;
use crate::wire::frame;
use crate::wire::handover::{Sum, Ticket};
use crate::wire::message::{Reply, Request};
use crate::{Error, Result};

impl NodeSession {
    /// Has this node hand over to the node of the other session what the ticket says. `on_piece` is told how many bytes have gone.
    /// Returns what the one says that it sent, and what the other says that it took.
    ///
    /// Where the future is dropped before it is done, or fails, both sessions are spent.
    ///
    /// # Errors
    /// Fails where either node does, with that node's own words, and where a connection is lost.
    pub async fn hand_over(
        &mut self,
        to: &mut Self,
        ticket: &Ticket,
        on_piece: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(Sum, Sum)> {
        let request = Request::HandOver { ticket: Box::new(ticket.clone()) };
        let span = watched::request(self.client(), request.name());
        let ended = self.pass_on(to, request, ticket, on_piece).instrument(span.clone()).await;
        traces::ended_as(&span, &ended);
        ended
    }

    async fn pass_on(
        &mut self,
        to: &mut Self,
        request: Request,
        ticket: &Ticket,
        on_piece: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(Sum, Sum)> {
        // Where one has ended, the next thing that is read of it, or sent to it, tells why.
        let _ = self.begin(&request).await?;
        let _ = to.begin(&Request::TakeOver { ticket: Box::new(ticket.clone()) }).await?;
        let mut gone = 0;
        loop {
            let Some(body) = next_body(&mut self.process).await? else { return Err(self.ended(Ok(()))) };
            let Some(is_last) = frame::as_piece(&body) else {
                // It says why it stops.
                let reply = self.judge(frame::decode(&body)?)?;
                return Err(out_of_turn(&reply));
            };
            gone += body.len() as u64;
            let mut framed = BytesMut::with_capacity(body.len() + 4);
            framed
                .put_u32(u32::try_from(body.len()).map_err(|error| Error::failed("a frame's length").because(error))?);
            framed.extend_from_slice(&body);
            let sent = to.process.send(framed.freeze()).await;
            on_piece(gone);
            if sent.is_err() {
                // It has ended, and what it said last tells why.
                return Err(match to.closing(sent).await {
                    Ok(reply) => out_of_turn(&reply),
                    Err(error) => error.context("the node that takes over"),
                });
            }
            if is_last {
                break;
            }
        }
        let sent = handed(self.closing(Ok(())).await?)?;
        let taken = to.closing(Ok(())).await.map_err(|error| error.context("the node that takes over"))?;
        Ok((sent, handed(taken)?))
    }

    /// The answer that ends a request.
    async fn closing(&mut self, sent: Result<()>) -> Result<Reply> {
        match next(&mut self.process).await? {
            Some(reply) => self.judge(reply),
            None => Err(self.ended(sent)),
        }
    }
}

fn handed(reply: Reply) -> Result<Sum> {
    match reply {
        Reply::Handed { sum } => Ok(sum),
        reply => Err(out_of_turn(&reply)),
    }
}
