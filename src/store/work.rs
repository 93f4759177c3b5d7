//! Word of new work, so that workers need not ask all the time. A word that is lost costs a worker's interval of asking.

use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Store;

/// What the database's programs tell each other of new work on.
pub(super) const CHANNEL: &str = "stead_work";

/// Who waits for word in this program, and what listens to other programs.
#[derive(Default)]
pub(super) struct Word {
    waiting: Arc<Notify>,
    listener: Option<JoinHandle<()>>,
}

impl Word {
    /// Word from all programs that use a database.
    pub(super) fn of_postgres(pool: PgPool) -> Self {
        let waiting = Arc::new(Notify::new());
        let told = waiting.clone();
        let listener = tokio::spawn(async move {
            // It finds its way back to a server that went away by itself.
            let listening = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(CHANNEL).await?;
                loop {
                    listener.recv().await?;
                    told.notify_waiters();
                }
            };
            let ended: sqlx::Result<()> = listening.await;
            if let Err(error) = ended {
                tracing::debug!(%error, "no word of new work any more; it is looked for every second");
            }
        });
        Self { waiting, listener: Some(listener) }
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl Store {
    /// Tells the workers in this program that there is something to do. Those in others hear of it from the database.
    pub fn tell_of_work(&self) {
        self.0.word.waiting.notify_waiters();
    }

    /// Waits for word of new work, from now on.
    pub fn work_waits(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.word.waiting.clone().notified_owned()
    }
}
