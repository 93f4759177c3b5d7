//! Work on many nodes: in waves, some at once, and not on where too many fail.

use std::future::Future;
use std::str::FromStr;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{Error, Kind, Result};

/// How work on many nodes goes on.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Waves {
    /// How many nodes are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    forks: u16,
    /// Begin with this many nodes, and go on only if they succeed [1 where no number is given]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", require_equals = true)]
    canary: Option<u16>,
    /// Go on in waves of this many nodes, or of this share of them (10 or 25%)
    #[arg(long, value_name = "N|P%")]
    serial: Option<Share>,
    /// Begin with no other node once more than this many have failed, unreachable ones included
    #[arg(long, value_name = "N|P%", long_help = MAX_FAILURES)]
    max_failures: Option<Share>,
}

const MAX_FAILURES: &str = "Begin with no other node once more than this many have failed, unreachable ones included \
                            [default: with --canary or --serial none, else no limit]";

/// A number of nodes, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Count(usize),
    Percent(usize),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number =
            |digits: &str| digits.parse::<usize>().map_err(|_| "write a number (10) or a share (25%)".to_owned());
        match text.strip_suffix('%') {
            Some(digits) => match number(digits)? {
                percent @ 0..=100 => Ok(Self::Percent(percent)),
                _ => Err("a share is at most 100%".to_owned()),
            },
            None => Ok(Self::Count(number(text)?)),
        }
    }
}

impl Share {
    /// How many of `all` nodes that is, a part of one left out.
    fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => all * percent / 100,
        }
    }
}

/// How the work on one node ended.
#[derive(Debug)]
pub(super) enum Ended<T> {
    Done(T),
    Failed(Error),
    /// It did not answer, asked twice.
    Unreachable(Error),
    /// It was not begun, since too many others had failed or the command was stopped.
    NotBegun,
}

impl Waves {
    /// How many nodes each wave has.
    fn sizes(&self, all: usize) -> Vec<usize> {
        let mut left = all;
        let mut sizes = Vec::new();
        let mut take = |size: usize| {
            let size = size.clamp(1, left.max(1)).min(left);
            left -= size;
            if size > 0 {
                sizes.push(size);
            }
            left > 0
        };
        let mut go_on = all > 0 && self.canary.is_none_or(|canary| take(canary.into()));
        while go_on {
            go_on = take(self.serial.map_or(all, |serial| serial.of(all)));
        }
        sizes
    }

    /// How many nodes may fail.
    fn tolerated(&self, all: usize) -> usize {
        match self.max_failures {
            Some(share) => share.of(all),
            None if self.canary.is_some() || self.serial.is_some() => 0,
            None => usize::MAX,
        }
    }

    /// Does `job` for every node, wave after wave. Nodes that do not answer are asked once more at the end of their wave,
    /// before they count as failed.
    pub(super) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        nodes: &[String],
        stop: &CancellationToken,
        job: impl Fn(String) -> F,
    ) -> Vec<(String, Ended<T>)> {
        let tolerated = self.tolerated(nodes.len());
        let failed = std::sync::atomic::AtomicUsize::new(0);
        let failures = || failed.load(std::sync::atomic::Ordering::Relaxed);
        let one = |node: String, second: bool| {
            let (job, failed) = (&job, &failed);
            async move {
                if stop.is_cancelled() || failed.load(std::sync::atomic::Ordering::Relaxed) > tolerated {
                    return (node, Ended::NotBegun);
                }
                let ended = match job(node.clone()).await {
                    Ok(done) => Ended::Done(done),
                    Err(error) if error.kind() == Kind::Unreachable => Ended::Unreachable(error),
                    Err(error) => Ended::Failed(error),
                };
                let counts = matches!(ended, Ended::Failed(_)) || (second && matches!(ended, Ended::Unreachable(_)));
                failed.fetch_add(counts.into(), std::sync::atomic::Ordering::Relaxed);
                (node, ended)
            }
        };
        let mut all = Vec::new();
        let mut rest = nodes;
        for size in self.sizes(nodes.len()) {
            let (wave, later) = rest.split_at(size);
            rest = later;
            let first = stream::iter(wave.to_vec()).map(|node| one(node, false)).buffered(self.forks.into());
            let (silent, ended): (Vec<_>, Vec<_>) = first
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .partition(|(_, ended)| matches!(ended, Ended::Unreachable(_)));
            all.extend(ended);
            let again = stream::iter(silent).map(async |(node, before)| match one(node, true).await {
                // It did not answer the first time either, and that is what is to be told of it.
                (node, Ended::NotBegun) => (node, before),
                second => second,
            });
            all.extend(again.buffered(self.forks.into()).collect::<Vec<_>>().await);
            if failures() > tolerated {
                break;
            }
        }
        all.extend(rest.iter().map(|node| (node.clone(), Ended::NotBegun)));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn waves(canary: Option<u16>, serial: &str, max_failures: &str) -> Waves {
        let share = |text: &str| text.parse().ok();
        Waves { forks: 2, canary, serial: share(serial), max_failures: share(max_failures) }
    }

    fn nodes(count: usize) -> Vec<String> {
        (0..count).map(|node| node.to_string()).collect()
    }

    #[test]
    fn waves_have_the_sizes_that_were_asked_for() {
        assert_eq!(waves(None, "", "").sizes(7), [7]);
        assert_eq!(waves(Some(1), "", "").sizes(7), [1, 6]);
        assert_eq!(waves(Some(2), "2", "").sizes(7), [2, 2, 2, 1]);
        assert_eq!(waves(None, "50%", "").sizes(7), [3, 3, 1]);
        assert_eq!(waves(None, "1%", "").sizes(3), [1, 1, 1], "a wave has at least one node");
        assert_eq!(waves(Some(9), "5", "").sizes(3), [3]);
        assert_eq!(waves(Some(1), "5", "").sizes(0), Vec::<usize>::new());
        assert!("200%".parse::<Share>().is_err() && "x".parse::<Share>().is_err());
    }

    /// Which nodes were asked, and how each ended.
    async fn go(waves: &Waves, count: usize, bad: &[(&str, Kind)]) -> (Vec<String>, String) {
        let asked = Mutex::new(Vec::new());
        let ended = waves
            .run(&nodes(count), &CancellationToken::new(), async |node| {
                asked.lock().unwrap().push(node.clone());
                match bad.iter().find(|(name, _)| *name == node) {
                    Some((_, kind)) => Err(Error::new(*kind, "no")),
                    None => Ok(()),
                }
            })
            .await;
        let mut ended: Vec<_> = ended;
        ended.sort_by_key(|(node, _)| node.parse::<usize>().unwrap());
        let letters = ended.iter().map(|(_, ended)| match ended {
            Ended::Done(()) => 'd',
            Ended::Failed(_) => 'f',
            Ended::Unreachable(_) => 'u',
            Ended::NotBegun => '-',
        });
        let letters = letters.collect();
        (asked.into_inner().unwrap(), letters)
    }

    #[tokio::test]
    async fn a_failed_canary_keeps_the_others_from_it() {
        let (asked, ended) = go(&waves(Some(1), "", ""), 4, &[("0", Kind::Failed)]).await;
        assert_eq!((asked.len(), ended.as_str()), (1, "f---"));
        let (_, ended) = go(&waves(None, "", ""), 4, &[("0", Kind::Failed)]).await;
        assert_eq!(ended, "fddd", "without waves the others are worked on all the same");
    }

    #[tokio::test]
    async fn no_other_node_is_begun_once_too_many_have_failed() {
        let bad = [("0", Kind::Failed), ("2", Kind::Failed)];
        assert_eq!(go(&waves(None, "2", "1"), 6, &bad).await.1, "fdf---");
        assert_eq!(go(&waves(None, "2", "50%"), 6, &bad).await.1, "fdfddd");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_twice_and_told_apart() {
        let (asked, ended) = go(&waves(None, "", ""), 3, &[("1", Kind::Unreachable)]).await;
        assert_eq!(asked.iter().filter(|node| *node == "1").count(), 2);
        assert_eq!(ended, "dud");
    }

    #[tokio::test]
    async fn once_stopped_nothing_is_begun() {
        let stop = CancellationToken::new();
        stop.cancel();
        let ended = waves(None, "", "").run(&nodes(2), &stop, async |_| Ok(())).await;
        assert!(ended.iter().all(|(_, ended)| matches!(ended, Ended::NotBegun)));
    }
}
