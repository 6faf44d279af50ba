//! The program `legatorctl`: runs one command, exits with its code.

fn main() {
    std::process::exit(legator_ctl::run());
}
