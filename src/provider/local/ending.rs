//! What becomes of a node when its supervisor is told to end, with SIGTERM: it is shut down, and nothing starts it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;

/// Has a node shut down.
type ShutDown = Box<dyn FnOnce() + Send>;

/// Whether the supervisor was told to end, and how its node is shut down.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    told: bool,
    shut_down: Option<ShutDown>,
}

impl Ending {
    /// Listens from now on, on a thread of its own; the process must have left its namespaces by then.
    ///
    /// # Errors
    /// Fails where the system does not tell of signals.
    pub(super) fn listen(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut terminate = {
            let _entered = runtime.enter();
            signal(SignalKind::terminate())?
        };
        let ending = self.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                while terminate.recv().await.is_some() {
                    ending.tell()
                }
            });
        })?;
        Ok(())
    }

    /// Says how the node, which has just been started, is shut down. Done at once where that is wanted already, and once only:
    /// told again, what runs the node would end it as it is.
    pub(super) fn by(&self, shut_down: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match state.told {
            true => shut_down(),
            false => state.shut_down = Some(Box::new(shut_down)),
        }
    }

    /// Whether the node is not to be started again.
    pub(super) fn is_told(&self) -> bool {
        self.state().told
    }

    fn tell(&self) {
        let mut state = self.state();
        state.told = true;
        if let Some(shut_down) = state.shut_down.take() {
            shut_down();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_node_is_shut_down_once_and_one_that_comes_too_late_at_once() {
        let (ending, done) = (Ending::default(), Arc::new(AtomicU32::new(0)));
        let count = || {
            let done = done.clone();
            move || {
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        ending.by(count());
        assert_eq!((ending.is_told(), done.load(Ordering::Relaxed)), (false, 0));
        ending.tell();
        ending.tell();
        assert_eq!((ending.is_told(), done.load(Ordering::Relaxed)), (true, 1));
        ending.by(count());
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
