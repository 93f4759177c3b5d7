//! Reads of one thing each that are asked for at the same moment, done as one.
//!
//! Servers ask the same two questions with every request: whose token is this, and what is this workspace. Asked one by one,
//! each costs a connection and a transaction. So what is asked for while others are being read waits for its turn, and is then
//! read together with all else that waits, by a statement that begins after it was asked for: nobody gets an answer that is
//! older than their question, and nothing is cached. Who asks alone waits for nobody.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{Node, Reader, Store, TokenRecord, Workspace, source::Source};
use crate::id::WorkspaceId;
use crate::{Error, Kind, Result};

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much is taken from the queue at once.
const MOST: usize = 256;

/// Reads many things by their keys.
type ReadMany<K, V> = for<'r> fn(&'r mut Reader, Vec<K>) -> BoxFuture<'r, Result<HashMap<K, V>>>;

/// Somebody who waits for a thing.
type Asked<K, V> = (K, oneshot::Sender<Result<Option<V>>>);

/// Things of a kind, by their keys.
pub(super) struct Together<K, V>(mpsc::UnboundedSender<Asked<K, V>>);

impl<K, V> Together<K, V>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// Reads from `source` as `read` does, until it is dropped.
    fn new(source: &Source, read: ReadMany<K, V>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(lane(source.clone(), waiting, read));
        Self(queue)
    }

    async fn get(&self, key: K) -> Result<Option<V>> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::failed("the store was closed while it was read");
        self.0.send((key, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Reads what waits, again and again, on a connection of its own.
async fn lane<K, V>(source: Source, mut waiting: mpsc::UnboundedReceiver<Asked<K, V>>, read: ReadMany<K, V>)
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    let (mut asked, mut held) = (Vec::new(), None);
    while waiting.recv_many(&mut asked, MOST).await != 0 {
        // Those who are about to ask do so first.
        tokio::task::yield_now().await;
        while let Ok(more) = waiting.try_recv() {
            asked.push(more);
        }
        // Who has given up is not read for.
        let mut askers: HashMap<K, Vec<_>> = HashMap::with_capacity(asked.len());
        for (key, answer) in asked.drain(..).filter(|(_, answer)| !answer.is_closed()) {
            askers.entry(key).or_default().push(answer);
        }
        if askers.is_empty() {
            continue;
        }
        match read_on(&mut held, &source, askers.keys().cloned().collect(), read).await {
            Ok(mut found) => askers.into_iter().for_each(|(key, mut answers)| {
                // The last who asked for it, mostly the only one, has it itself: copying it takes as many allocations as reading.
                let (value, last) = (found.remove(&key), answers.pop());
                // Nobody may wait any more.
                for answer in answers {
                    let _ = answer.send(Ok(value.clone()));
                }
                let _ = last.map(|answer| answer.send(Ok(value)));
            }),
            Err(error) => askers.into_values().flatten().for_each(|answer| {
                let _ = answer.send(Err(alike(&error)));
            }),
        }
    }
}

/// Reads on the connection that is held. One that has died since it was used last, as all do when the server is started again,
/// is replaced, and nobody hears of it.
async fn read_on<K: Clone, V>(
    held: &mut Option<Reader>,
    source: &Source,
    keys: Vec<K>,
    read: ReadMany<K, V>,
) -> Result<HashMap<K, V>> {
    if let Some(reader) = held.take() {
        match in_time(reader, keys.clone(), read).await {
            Ok((reader, found)) => {
                *held = Some(reader);
                return Ok(found);
            }
            Err(error) => tracing::debug!(error = error.one_line(), "reading on another connection"),
        }
    }
    let (reader, found) = in_time(source.steady().await?, keys, read).await?;
    *held = Some(reader);
    Ok(found)
}

/// Reads, and throws the connection away where that fails or takes too long: a server that vanished without a word is waited for no
/// longer than by anybody else.
async fn in_time<K, V>(mut reader: Reader, keys: Vec<K>, read: ReadMany<K, V>) -> Result<(Reader, HashMap<K, V>)> {
    let reading = AssertUnwindSafe(read(&mut reader, keys)).catch_unwind();
    let error = match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(Ok(found))) => return Ok((reader, found)),
        Ok(Ok(Err(error))) => error,
        Ok(Err(_)) => Error::failed("reading the store panicked"),
        Err(_) => Error::new(Kind::Unavailable, "the store does not answer"),
    };
    reader.give_up();
    Err(error)
}

/// The same error, for one more who waits.
fn alike(error: &Error) -> Error {
    error.hints().iter().fold(Error::new(error.kind(), error.one_line()), Error::hint)
}

/// What a store's programs ask for one at a time.
pub(super) struct Singly {
    tokens: Together<String, TokenRecord>,
    workspaces: Together<WorkspaceId, (Workspace, Option<Node>)>,
}

impl Singly {
    pub(super) fn of(source: &Source) -> Self {
        Self {
            tokens: Together::new(source, |reader, hashes| Box::pin(reader.tokens_by_hash(hashes))),
            workspaces: Together::new(source, |reader, ids| Box::pin(reader.workspaces_with_nodes(ids))),
        }
    }
}

impl Store {
    /// The token with this hash, ended or not; read together with others that are asked for at this moment.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRecord>> {
        self.0.singly.tokens.get(hash.to_owned()).await
    }

    /// A workspace, gone or not, with its node; read together with others that are asked for at this moment.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspace_with_node(&self, id: WorkspaceId) -> Result<Option<(Workspace, Option<Node>)>> {
        self.0.singly.workspaces.get(id).await
    }
}
