//! Sweeps that come by themselves. They only tell.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::Platform;
use super::{Mend, record, sweep};
use crate::Result;
use crate::store::Store;
use crate::workflow::lease;

/// How often it is looked whether a sweep is due.
const LOOK: Duration = Duration::from_secs(30);
/// How long a process is the one that sweeps its host, unless it says so again.
const LEASE: Duration = Duration::from_secs(120);

/// Sweeps this host at the beginning, where that was not done for so long, and every so often from then on; ends when it is told to
/// stop. Of several processes on a host one does it.
pub async fn rounds(platform: Arc<Platform>, store: Store, every: Duration, stop: CancellationToken) {
    let mut said = None;
    loop {
        match round(&platform, &store, every).await {
            Ok(()) => said = None,
            // Said once, not every time.
            Err(error) if said.as_ref() != Some(&error.one_line()) => {
                tracing::warn!(error = error.one_line(), "this host could not be swept");
                said = Some(error.one_line());
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(every)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn round(platform: &Platform, store: &Store, every: Duration) -> Result<()> {
    let (name, process) = (format!("sweep/{}", platform.host), lease::this_process());
    let is_ours = store.write(move |tx| {
        Box::pin(async move {
            let now = tx.shared_now().await?;
            tx.take_lease(&name, &process, now, now + LEASE).await
        })
    });
    if !is_ours.await? {
        return Ok(());
    }
    let mut reader = store.read().await?;
    let now = reader.shared_now().await?;
    let last = reader.sweeps().await?.into_iter().filter(|sweep| sweep.host == platform.host);
    let is_due = last.map(|sweep| sweep.swept_at).min().is_none_or(|last| now >= last + every);
    drop(reader);
    if is_due {
        let found = sweep(platform, store, Mend::default(), "worker").await?;
        record(platform, store, &found).await?;
        if !found.is_empty() {
            tracing::warn!(found = found.len(), "machines and record have parted: `stead node sweep` tells more");
        }
    }
    Ok(())
}
