//! The program `legatorctl`: reads the arguments and the environment, runs one command, exits with its code.

fn main() {
    // One provider for all TLS of this process; a second installation is no fault.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("legatorctl: no runtime: {error}");
            std::process::exit(1);
        }
    };
    let code = runtime.block_on(legator_ctl::run());
    // A read of standard input may still be pending; it must not hold the exit.
    runtime.shutdown_background();
    std::process::exit(code);
}
