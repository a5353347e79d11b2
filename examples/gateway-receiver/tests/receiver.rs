//! What the receiver says to its first user. `examples/gateway` tests it behind gateways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_trial::Program;

const RECEIVER: &str = env!("CARGO_BIN_EXE_gateway-receiver");

#[test]
fn the_first_user_is_told_what_is_missing() {
    for (arguments, words) in [
        (&[][..], "folders are missing"),
        (&["x"], "--listen is missing"),
        (&["x", "--listen", "127.0.0.1:0"], "--back is missing"),
    ] {
        let program = Program::start(RECEIVER, arguments);
        let line = program.wait_for(1, "gateway-receiver: ");
        assert_eq!((line, program.wait().code()), (format!("gateway-receiver: {words}: see --help"), Some(2)));
    }
}
