//! Watches a broker for an agent that registers, and talks to it. Runs on a thread of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Map, Value, json};

use super::envelope::{self, Call, RpcKey};

/// Between two looks at the queues.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an agent may take to answer, emulated beside its own start.
const ANSWER: Duration = Duration::from_secs(20);
/// Where the agent's messages to Trove go (`conductor_queue`).
const CONDUCTOR: &str = "trove-conductor";

/// What is asked of a broker.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) url: String,
    /// The exchange that the control plane sends to.
    pub(crate) exchange: String,
    /// The instance, which is the agent's name.
    pub(crate) instance: String,
    pub(crate) key: Option<RpcKey>,
    /// Whether to ask for a database, and with what.
    pub(crate) prepare: Option<Prepare>,
}

/// What `prepare` says.
#[derive(Debug, Clone)]
pub(crate) struct Prepare {
    pub(crate) datastore_version: String,
    pub(crate) mount_point: String,
    /// The database's own configuration, as Trove's templates make one.
    pub(crate) configuration: String,
    pub(crate) memory_mb: u64,
}

/// What has been seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct BrokerState {
    /// Why the broker cannot be reached, from this host.
    pub(crate) error: Option<String>,
    /// Consumers of `guestagent.ID` and of `guestagent.ID.ID`.
    pub(crate) consumers: (u32, u32),
    /// Whether there is the exchange that reaches all agents of the name.
    pub(crate) fanout: bool,
    /// The answer to a ping.
    pub(crate) ping: Option<Result<(), String>>,
    /// A ping through that exchange reached no queue, although there are queues.
    pub(crate) unroutable: bool,
    /// Service statuses that the agent has sent.
    pub(crate) statuses: Vec<String>,
}

impl BrokerState {
    /// Whether the agent consumes from all queues that Trove sends to.
    pub(crate) fn is_registered(&self) -> bool {
        self.consumers.0 > 0 && self.consumers.1 > 0 && self.fanout
    }
}

/// The state, shared with who shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<BrokerState>>);

impl Shared {
    pub(crate) fn get(&self) -> BrokerState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut BrokerState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Watches for ever, connecting again when a connection breaks.
pub(crate) async fn watch(wanted: Wanted, seen: Shared) {
    loop {
        if let Err(error) = session(&wanted, &seen).await {
            seen.change(|state| state.error = Some(error.to_string()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn session(wanted: &Wanted, seen: &Shared) -> lapin::Result<()> {
    let properties = ConnectionProperties::default().with_connection_name("tib".into());
    let connection = Connection::connect(&wanted.url, properties).await?;
    seen.change(|state| state.error = None);
    let listening = listen(&connection, wanted, seen);
    let asking = ask(&connection, wanted, seen);
    // Neither ends but by an error.
    tokio::select! {
        result = listening => result,
        result = asking => result,
    }
}

/// Hears what the agent tells the conductor, in a queue beside the conductor's own.
async fn listen(connection: &Connection, wanted: &Wanted, seen: &Shared) -> lapin::Result<()> {
    let channel = declare_exchange(connection, &wanted.exchange).await?;
    let queue = temporary(&channel, "tib").await?;
    channel
        .queue_bind(
            queue.as_str().into(),
            wanted.exchange.as_str().into(),
            CONDUCTOR.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let mut messages = channel
        .basic_consume(
            queue.as_str().into(),
            "tib".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let heard = envelope::decode(&message.data)
            .and_then(|message| envelope::heartbeat(&message, wanted.key.as_ref()))
            .filter(|(instance, _)| *instance == wanted.instance);
        if let Some((_, status)) = heard {
            seen.change(|state| {
                if state.statuses.last() != Some(&status) && state.statuses.len() < 100 {
                    state.statuses.push(status);
                }
            });
        }
        message.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// Looks for the agent's queues, then pings it, and then asks for a database.
async fn ask(connection: &Connection, wanted: &Wanted, seen: &Shared) -> lapin::Result<()> {
    let topic = format!("guestagent.{}", wanted.instance);
    let own = format!("{topic}.{}", wanted.instance);
    let mut prepared = false;
    loop {
        let consumers = (consumers(connection, &topic).await?, consumers(connection, &own).await?);
        let fanout = exchange_exists(connection, &format!("{topic}_fanout")).await?;
        seen.change(|state| {
            state.consumers = consumers;
            state.fanout = fanout;
        });
        let state = seen.get();
        if state.is_registered() && !matches!(state.ping, Some(Ok(()))) {
            let pinged = ping(connection, wanted, &topic).await?;
            seen.change(|state| match pinged {
                Pinged::Answered(answer) => state.ping = Some(answer),
                Pinged::Unroutable => state.unroutable = true,
                Pinged::Silent => {}
            });
        } else if let (Some(prepare), false, Some(Ok(()))) = (&wanted.prepare, prepared, &state.ping) {
            cast_prepare(connection, wanted, prepare, &topic).await?;
            prepared = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How many listen to a queue; none if there is no such queue.
async fn consumers(connection: &Connection, queue: &str) -> lapin::Result<u32> {
    // The broker closes the channel of whoever asks for what is not there.
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    match found {
        Ok(queue) => {
            let count = queue.consumer_count();
            channel.close(200, "".into()).await?;
            Ok(count)
        }
        Err(_) if connection.status().connected() => Ok(0),
        Err(error) => Err(error),
    }
}

async fn exchange_exists(connection: &Connection, exchange: &str) -> lapin::Result<bool> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    match channel
        .exchange_declare(exchange.into(), ExchangeKind::Fanout, options, FieldTable::default())
        .await
    {
        Ok(()) => channel.close(200, "".into()).await.map(|()| true),
        Err(_) if connection.status().connected() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A channel on which the control exchange is there: the one of the control plane if it has made one, or one of oslo's
/// default kind.
async fn declare_exchange(connection: &Connection, exchange: &str) -> lapin::Result<Channel> {
    if exchange_exists(connection, exchange).await? {
        return connection.create_channel().await;
    }
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
    Ok(channel)
}

/// A queue that goes with the connection.
async fn temporary(channel: &Channel, prefix: &str) -> lapin::Result<String> {
    let name = format!("{prefix}_{}", uuid::Uuid::new_v4().simple());
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await?;
    Ok(name)
}

enum Pinged {
    Answered(Result<(), String>),
    Unroutable,
    Silent,
}

async fn ping(connection: &Connection, wanted: &Wanted, topic: &str) -> lapin::Result<Pinged> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let queue = temporary(&channel, "reply").await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut answers =
        channel.basic_consume(queue.as_str().into(), "ping".into(), options, FieldTable::default()).await?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let call = Call { method: "rpc_ping", version: "1.0", args: Map::new(), reply: Some((&queue, &id)) };
    let body = envelope::encode(&call, &context(&wanted.instance), wanted.key.as_ref());
    if !publish(&channel, &wanted.exchange, topic, &body).await? {
        channel.close(200, "".into()).await?;
        return Ok(Pinged::Unroutable);
    }
    let answered = tokio::time::timeout(ANSWER, async {
        while let Some(delivery) = answers.next().await {
            let Delivery { data, .. } = delivery?;
            let answer = envelope::decode(&data)
                .and_then(|message| envelope::answer(&message, &id, wanted.key.as_ref()));
            if let Some(answer) = answer {
                return lapin::Result::Ok(Some(match answer {
                    Ok(Value::Bool(true)) => Ok(()),
                    Ok(other) => Err(format!("it answered {other}")),
                    Err(raised) => Err(raised),
                }));
            }
        }
        Ok(None)
    })
    .await;
    channel.close(200, "".into()).await?;
    Ok(match answered {
        Ok(Ok(Some(answer))) => Pinged::Answered(answer),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(None)) | Err(_) => Pinged::Silent,
    })
}

/// Sends a message, and says whether it reached a queue.
async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) -> lapin::Result<bool> {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(1);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent =
        channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await?;
    Ok(sent.await?.take_message().is_none())
}

async fn cast_prepare(
    connection: &Connection,
    wanted: &Wanted,
    prepare: &Prepare,
    topic: &str,
) -> lapin::Result<()> {
    let args = json!({
        "packages": [],
        "databases": [],
        "memory_mb": prepare.memory_mb,
        "users": [],
        "device_path": "/dev/vdb",
        "mount_point": prepare.mount_point,
        "backup_info": null,
        "config_contents": prepare.configuration,
        "root_password": null,
        "overrides": null,
        "cluster_config": null,
        "snapshot": null,
        "modules": null,
        "ds_version": prepare.datastore_version,
    });
    let args = args.as_object().cloned().unwrap_or_default();
    let call = Call { method: "prepare", version: "1.1", args, reply: None };
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = envelope::encode(&call, &context(&wanted.instance), wanted.key.as_ref());
    publish(&channel, &wanted.exchange, topic, &body).await?;
    channel.close(200, "".into()).await
}

/// Who asks. `prepare` fails without the notification that Trove's task manager sends along.
fn context(instance: &str) -> Map<String, Value> {
    let notification = json!({
        "notification_classname": "trove.common.notification.DBaaSInstanceCreate",
        "server_type": "guest",
        "instance_id": instance,
        "request_id": "req-tib",
        "tenant_id": "tib",
        "client_ip": "127.0.0.1",
        "server_ip": "127.0.0.1",
    });
    let context = json!({
        "user_id": "tib", "project_id": "tib", "is_admin": true, "read_only": false, "show_deleted": false,
        "request_id": "req-tib", "roles": ["admin"], "auth_token": null, "user_name": null, "project_name": null,
        "limit": null, "marker": null, "service_catalog": [], "trove_notification": notification,
    });
    context.as_object().cloned().unwrap_or_default()
}
