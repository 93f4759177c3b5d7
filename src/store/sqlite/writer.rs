//! The one writer: a task that takes writes in turn and commits them in groups.
//!
//! With `synchronous=FULL` a commit costs a sync to disk. Writes that arrive while one is under way share the next: each
//! runs in a savepoint of its own, so that one that fails takes nothing with it, and all are answered after the commit.

use std::sync::Arc;

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use crate::clock::Clock;
use crate::store::reader::Connection;
use crate::store::{Reader, Tx, database};
use crate::{Error, Kind, Result};

/// More than this many writes do not share a commit, so that the first does not wait for too many others.
const GROUP: usize = 64;

/// A write that waits for its turn.
trait Job: Send {
    /// Runs the work; whether it succeeded.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;
    /// Answers whoever waits: with the work's own result, or with why its transaction could not be committed.
    fn answer(self: Box<Self>, uncommitted: Option<&Error>);
}

struct Write<T, F> {
    work: Option<F>,
    /// What the write is a part of, for traces: it runs in the writer's own task.
    span: Span,
    result: Option<Result<T>>,
    waiting: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let result = tx.run(work).instrument(self.span.clone()).await;
            let succeeded = result.is_ok();
            self.result = Some(result);
            succeeded
        })
    }

    fn answer(self: Box<Self>, uncommitted: Option<&Error>) {
        let result = match (self.result, uncommitted) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), None) => Ok(value),
            (_, why) => {
                let (kind, why, hints) = why.map_or((Kind::Failed, String::new(), &[][..]), |error| {
                    (error.kind(), error.one_line(), error.hints())
                });
                let error = Error::new(kind, format!("nothing was written: {why}"));
                Err(hints.iter().fold(error, Error::hint))
            }
        };
        // Whoever asked may have gone; the write stands.
        let _ = self.waiting.send(result);
    }
}

/// The handle of the writer task.
pub(in crate::store) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    task: JoinHandle<()>,
}

impl Writer {
    pub(in crate::store) fn start(connection: SqliteConnection, clock: Arc<dyn Clock>) -> Self {
        let (jobs, queue) = mpsc::channel(GROUP);
        let tx = Tx::of(Reader::of_sqlite_writer(connection, clock));
        Self { jobs, task: tokio::spawn(serve(tx, queue)) }
    }

    pub(in crate::store) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (waiting, answer) = oneshot::channel();
        let job = Box::new(Write { work: Some(work), span: Span::current(), result: None, waiting });
        let gone = || Error::failed("the store is closed");
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(in crate::store) async fn stop(self) {
        drop(self.jobs);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the store's writer");
        }
    }
}

async fn serve(mut tx: Tx, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::new();
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let outcome = commit(&mut tx, &mut group).await;
        for job in group.drain(..) {
            job.answer(outcome.as_ref().err());
        }
    }
    tx.into_reader().close().await;
}

async fn statement(tx: &mut Tx, sql: &'static str) -> Result<()> {
    let Connection::Sqlite(connection) = tx.connection() else { return Ok(()) };
    sqlx::query(sql).execute(connection).await.map_err(|error| database("writing the store", error))?;
    Ok(())
}

async fn commit(tx: &mut Tx, group: &mut [Box<dyn Job>]) -> Result<()> {
    // IMMEDIATE takes the write lock at once, where the busy time-out applies; a read lock that is upgraded later fails.
    statement(tx, "BEGIN IMMEDIATE").await?;
    let outcome = async {
        for job in group {
            statement(tx, "SAVEPOINT job").await?;
            if !job.run(tx).await {
                // Fails where SQLite itself has rolled the transaction back (a full disk, an I/O error): then nothing of
                // the group may be acknowledged. The others' writes may go through when that is over.
                let rolled_back = statement(tx, "ROLLBACK TO job").await;
                rolled_back.map_err(|error| {
                    Error::new(Kind::Unavailable, "another write of the same group failed").because(error)
                })?;
            }
            statement(tx, "RELEASE job").await?;
        }
        statement(tx, "COMMIT").await
    }
    .await;
    if outcome.is_err()
        && let Err(error) = statement(tx, "ROLLBACK").await
    {
        tracing::debug!(%error, "the transaction was rolled back already");
    }
    outcome
}
