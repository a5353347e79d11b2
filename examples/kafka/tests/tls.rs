//! Whom a device trusts.

use iot_trial::{Nginx, Ports, Trial, Validity, free_port};

/// What is wrong shows before anybody speaks Kafka's protocol, so anybody who speaks TLS will do.
#[test]
#[ignore = "needs nginx"]
fn no_broker_is_trusted_without_reason() {
    let [plain, port] = [free_port(), free_port()];
    let trial = Trial::new(env!("CARGO_BIN_EXE_kafka"), "", 10);
    let (plant, files) = trial.authorities();
    let [certificate, key] = plant.issue("broker", &["127.0.0.1"], Validity::Now);
    let shown = format!("listen 127.0.0.1:{port} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};");
    let _running = Nginx::configure(trial.folder(), plain, &shown).start();
    let ports = Ports { plain: ("kafka", plain), secure: ("ssl", port) };
    trial.trusts_no_server_without_reason(&ports, &files, &[]);
}
