//! `compare`: landline beside its rivals. See the library's `compare` module.

fn main() -> std::process::ExitCode {
    landline_bench::compare::main()
}
