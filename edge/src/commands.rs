//! The way down: commands of the workers to the sessions here.
//!
//! Owns the edge's one subscription. Never waits for a session: a command is queued or answered with why not.

use crate::routes::Down;
use crate::{EdgeError, Inner, counters};
use legator_bus::{Message, Subscription, subject};
use legator_wire::corridor::{Command, Heard, Order, pack, unpack};
use legator_wire::frame;

pub(crate) async fn listen(edge: &Inner) -> Result<Subscription, EdgeError> {
    Ok(edge.bus.subscribe(subject::edge_cmds(edge.instance)).await?)
}

/// Obeys for as long as the subscription lasts.
pub(crate) async fn obey(edge: &Inner, mut commands: Subscription) {
    while let Some(message) = commands.next().await {
        let Some(heard) = obeyed(edge, &message) else {
            tracing::warn!("a command that is none");
            continue;
        };
        counters::command(heard);
        if message.reply.is_some() {
            let _ = edge.bus.reply(&message, pack(&heard)).await;
        }
    }
}

fn obeyed(edge: &Inner, message: &Message) -> Option<Heard> {
    let (_, host) = subject::read::edge_cmd(&message.subject)?;
    let command: Command = unpack(&message.body)?;
    Some(match command.order {
        Order::Send { frame } => {
            edge.routes.send(host, Down { epoch: command.epoch, text: frame::text(&frame) })
        }
        Order::Fence { epoch } => edge.routes.fence(host, epoch),
    })
}
