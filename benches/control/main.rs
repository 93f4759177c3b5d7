//! The control plane, measured: `README.md` beside this file says what, and how.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what is measured is printed")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

#[path = "../../tests/support/postgres.rs"]
mod postgres;
mod records;
mod requests;
mod server;
mod stores;
mod workflows;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match words[..] {
            [] => {
                requests::measure().await;
                workflows::measure(1000).await;
                records::measure(100_000, 1_000_000).await;
            }
            ["requests"] => requests::measure().await,
            ["workflows"] => workflows::measure(1000).await,
            ["records"] => records::measure(100_000, 1_000_000).await,
            ["records", entries] => records::measure(100_000, entries.parse().unwrap()).await,
            // What the measurements start.
            ["serve", what, place] => server::serve(what, place).await,
            ["work", place] => workflows::work(place).await,
            _ => {
                eprintln!("control [requests | workflows | records [ENTRIES]]");
                std::process::exit(2);
            }
        }
    });
}
