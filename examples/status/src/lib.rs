//! What a program says of itself: [figures](Figure) for Prometheus, and whether it is well for whoever restarts what is ill.
//!
//! Its parts give their figures; the program puts them together. With the feature `http`, [`open`] answers with them at
//! `/metrics`, and at `/health` with 200 or 503. It keeps no history and knows no labels.
//!
//! ```
//! use iot_status::{Figure, page};
//!
//! let figures = [Figure::counter("packets_total", "Packets taken.", 3), Figure::gauge("load", "How much there is to do.", 0.5)];
//! assert!(page("gateway", &figures).starts_with("# HELP gateway_packets_total Packets taken.\n"));
//! assert!(page("gateway", &figures).ends_with("# TYPE gateway_load gauge\ngateway_load 0.5\n"));
//! ```

#![forbid(unsafe_code)]

/// A number that a program says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    value: f64,
}

impl Figure {
    /// How often something has happened, which never becomes less. By custom such a name ends with `_total`.
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { kind: "counter", name, help, value: value as f64 }
    }

    /// How it is with something now.
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { kind: "gauge", name, help, value }
    }
}

/// Figures as Prometheus reads them, each with the name of the program before it.
pub fn page<'f>(program: &str, figures: impl IntoIterator<Item = &'f Figure>) -> String {
    let lines = figures.into_iter().map(|Figure { kind, name, help, value }| {
        format!("# HELP {program}_{name} {help}\n# TYPE {program}_{name} {kind}\n{program}_{name} {value}\n")
    });
    lines.collect()
}

/// Answers `/metrics` and `/health` at `address`, on a thread. `health` gives words for who is well, or else for who is ill.
///
/// # Errors
///
/// When the address is not free.
#[cfg(feature = "http")]
pub fn open(
    address: &str,
    program: &'static str,
    health: impl Fn() -> Result<&'static str, &'static str> + Send + 'static,
    figures: impl Fn() -> Vec<Figure> + Send + 'static,
) -> std::io::Result<()> {
    use tiny_http::{Header, Response, Server};

    let server = Server::http(address).map_err(std::io::Error::other)?;
    let keep = move || {
        for request in server.incoming_requests() {
            let (status, text) = match (request.url(), health()) {
                ("/metrics", _) => (200, page(program, &figures())),
                ("/health", Ok(words)) => (200, format!("{words}\n")),
                ("/health", Err(words)) => (503, format!("{words}\n")),
                _ => (404, "there are /metrics and /health\n".into()),
            };
            let plain = Header::from_bytes("Content-Type", "text/plain; version=0.0.4").expect("it is a header");
            // Who hung up asks again.
            let _ = request.respond(Response::from_string(text).with_status_code(status).with_header(plain));
        }
    };
    std::thread::Builder::new().name("status".into()).spawn(keep).map(drop)
}
