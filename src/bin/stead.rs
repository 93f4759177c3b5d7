//! The operators' command and the control plane.

fn main() -> std::process::ExitCode {
    stead::cli::main()
}
