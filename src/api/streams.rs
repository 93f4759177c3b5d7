//! Answers that do not end by themselves: how many of them are borne with. Each looks at the store all the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use super::Problem;

/// The most at once, over all callers and for one.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 16;

/// Who watches. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// The right to one stream, for as long as it lives.
pub(super) struct Seat {
    streams: Streams,
    caller: String,
}

impl Streams {
    /// A seat for a caller.
    pub(super) fn take(&self, caller: &str) -> Result<Seat, Problem> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = seats.get(caller).copied().unwrap_or_default();
        if of_one >= MOST_OF_ONE || seats.values().sum::<usize>() >= MOST {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "too many are watching already",
            )
            .hint("ask for the workflow itself from time to time, or end another stream")
            .retry_after(10));
        }
        seats.insert(caller.to_owned(), of_one + 1);
        Ok(Seat { streams: self.clone(), caller: caller.to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seats.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(seats.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_has_some_seats_and_all_together_not_many_more() {
        let streams = Streams::default();
        let mut seats: Vec<Seat> = (0..MOST_OF_ONE).map(|_| streams.take("a").unwrap()).collect();
        assert_eq!(streams.take("a").err().unwrap().status, 429);
        seats.pop();
        seats.push(streams.take("a").unwrap());
        for caller in 1..MOST / MOST_OF_ONE {
            seats.extend((0..MOST_OF_ONE).map(|_| streams.take(&format!("c{caller}")).unwrap()));
        }
        assert!(streams.take("another").is_err());
        drop(seats);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
