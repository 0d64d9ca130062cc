//! The `tib` program.

fn main() -> std::process::ExitCode {
    tib::cli::main()
}
