//! What happens with servers of each kind, good and bad.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

use iot_link::Options;
use iot_tls::{Scheme, Server};
use iot_trial::{Authority, Validity, free_port};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that greets with `hello` whoever trusts this certificate, and wants one of the CA in `clients` if that is said.
fn serve([certificate, key]: &[String; 2], clients: Option<&Path>) -> u16 {
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if let Some(file) = clients {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), default_provider().into());
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let config = builder.with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    let config = Arc::new(config);
    listen(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        // Who does not trust it hangs up.
        let _ = stream.write_all(b"hello").and_then(|()| stream.flush()).map(|()| stream.read(&mut [0]));
    })
}

/// What `talk` does to everybody who comes.
fn listen(talk: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(talk));
    port
}

fn server(address: &str, own: &[(&'static str, &str)]) -> io::Result<Server> {
    let own = own.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let options = Options { server: address.into(), own, ..Options::default() };
    Server::of(&options, Scheme("mqtt", 1883), Scheme("mqtts", 8883))
}

/// What the server says, over TLS.
fn hear(address: &str, own: &[(&'static str, &str)]) -> io::Result<String> {
    let mut stream = server(address, own)?.connect(PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = [0; 5];
    stream.read_exact(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_certificate_is_taken_of_a_trusted_ca_for_the_right_name_at_the_right_time() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, other) = (Authority::new(folder.path(), "plant"), Authority::new(folder.path(), "other"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (trusted, unknown) = (path("plant.pem"), path("other.pem"));
    let good = serve(&plant.issue("good", &["127.0.0.1", "localhost"], Validity::Now), None);
    let ca = [("ca", &*trusted)];
    assert_eq!(hear(&format!("mqtts://127.0.0.1:{good}"), &ca).unwrap(), "hello");
    assert_eq!(hear(&format!("mqtts://localhost:{good}/"), &ca).unwrap(), "hello");

    let refused = |port: u16, own: &[(&'static str, &str)]| {
        let error = hear(&format!("mqtts://127.0.0.1:{port}"), own).unwrap_err();
        (error.kind(), error.to_string())
    };
    let denied = |words: &str| (ErrorKind::PermissionDenied, words.to_owned());
    let untrusted = "the server's certificate is of a CA that is not trusted here: give that CA by --ca FILE";
    assert_eq!(refused(good, &[("ca", &unknown)]), denied(untrusted));
    let odd = serve(&plant.issue("odd", &["plant.example"], Validity::Now), None);
    let words = "the server's certificate is for plant.example, and not for 127.0.0.1";
    assert_eq!(refused(odd, &ca), denied(words));
    let past = serve(&plant.issue("past", &["127.0.0.1"], Validity::Past), None);
    let (kind, words) = refused(past, &ca);
    let is_said = words.starts_with("the server's certificate has expired") && words.contains("days ago, by the clock");
    assert!(kind == ErrorKind::PermissionDenied && is_said, "{words}");
    // The clock may be set meanwhile.
    let future = serve(&plant.issue("future", &["127.0.0.1"], Validity::Future), None);
    let (kind, words) = refused(future, &ca);
    assert!(kind == ErrorKind::Other && words.contains("is the clock of this machine right?"), "{words}");
    let own = serve(&other.own(), None);
    let words = "the server's certificate is that of a CA: let the CA sign one for the server";
    assert_eq!(refused(own, &[("ca", &unknown)]), denied(words));
}

#[test]
fn a_server_may_want_a_certificate_of_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, other) = (Authority::new(folder.path(), "plant"), Authority::new(folder.path(), "other"));
    let ca = folder.path().join("plant.pem");
    let port = serve(&plant.issue("server", &["127.0.0.1"], Validity::Now), Some(&ca));
    let (address, ca) = (format!("mqtts://127.0.0.1:{port}"), ("ca", ca.to_str().unwrap()));
    let [certificate, key] = plant.issue("device", &[], Validity::Now);
    assert_eq!(hear(&address, &[ca, ("certificate", &certificate), ("key", &key)]).unwrap(), "hello");
    let error = hear(&address, &[ca]).unwrap_err();
    let words = "the server wants a certificate of this end: give --certificate FILE and --key FILE";
    assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::PermissionDenied, words));
    let [certificate, key] = other.issue("stranger", &[], Validity::Now);
    let error = hear(&address, &[ca, ("certificate", &certificate), ("key", &key)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with("the server does not take the certificate of this end"), "{error}");
}

#[test]
fn who_speaks_no_tls_is_told_from_who_does() {
    let folder = tempfile::tempdir().unwrap();
    let plant = Authority::new(folder.path(), "plant");
    let secure = serve(&plant.issue("server", &["127.0.0.1"], Validity::Now), None);
    let ca = folder.path().join("plant.pem");
    let ca = [("ca", ca.to_str().unwrap())];
    let words = listen(|mut stream| _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let hung_up = listen(|mut stream| {
        // Nothing is left unread, so that it is told of an end and not of a reset.
        let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.shutdown(Shutdown::Both));
    });
    for (port, start) in [(words, "the server speaks no TLS there"), (hung_up, "it hung up when it was greeted")] {
        let error = hear(&format!("mqtts://127.0.0.1:{port}"), &ca).unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{said}");
        assert!(said.starts_with(start) && said.ends_with("give the port where it does, or mqtt://"), "{said}");
    }
    let gone = || io::Error::from(ErrorKind::UnexpectedEof);
    let doubted = |port| server(&format!("127.0.0.1:{port}"), &[]).unwrap().doubt(gone(), PATIENCE);
    let said = format!("the server speaks TLS there: give mqtts://127.0.0.1:{secure}");
    assert_eq!(doubted(secure).to_string(), said);
    for port in [words, hung_up, free_port()] {
        assert_eq!(doubted(port).kind(), ErrorKind::UnexpectedEof);
    }
    let error = hear(&format!("mqtts://127.0.0.1:{}", free_port()), &ca).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn what_the_command_line_says_is_read_or_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path(), "plant");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty"), "nothing\n").unwrap();
    let (ca, empty, gone) = (path("plant.pem"), path("empty"), path("gone"));
    for (given, address) in [
        ("plant.example", "plant.example:1883"),
        ("mqtt://plant.example", "plant.example:1883"),
        ("plant.example:4711", "plant.example:4711"),
        ("[::1]", "[::1]:1883"),
        ("[::1]:4711", "[::1]:4711"),
    ] {
        assert_eq!(server(given, &[]).unwrap().address(), address);
        assert!(server(given, &[]).unwrap().config().is_none());
    }
    let secure = server("mqtts://plant.example", &[("ca", &ca)]).unwrap();
    assert!(secure.address() == "plant.example:8883" && secure.config().is_some());
    let own: &[(&[(&'static str, &str)], &str)] = &[
        (&[("ca", &gone)], "gone: No such file"),
        (&[("ca", &empty)], "empty: it holds no certificate in PEM"),
        (&[("ca", &ca), ("certificate", &ca)], "--certificate and --key go together"),
        (&[("ca", &ca), ("certificate", &ca), ("key", &empty)], "empty: it holds no key in PEM"),
        (&[("ca", &ca), ("certificate", &ca), ("key", &gone)], "gone: No such file"),
    ];
    let odd = [
        ("mqtts://plant.example:x", "x is no port"),
        ("mqtts://", "that is no HOST:PORT"),
        ("mqtts://plant.example/iot", "that is no HOST:PORT"),
        ("wss://plant.example", "no wss here; give mqtt://HOST:PORT or mqtts://HOST:PORT"),
    ];
    let odd = odd.map(|(given, words)| (given, [("ca", &*ca)], words));
    let odd = odd.iter().map(|(given, own, words)| (*given, &own[..], *words));
    let plain = [("mqtt://plant.example", own[0].0, "--ca is for mqtts://HOST:PORT")];
    for (given, own, words) in
        own.iter().map(|(own, words)| ("mqtts://plant.example", *own, *words)).chain(odd).chain(plain)
    {
        let error = server(given, own).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(words), "{given}: {error}");
    }
}

/// A time-out in the middle of a record would be the end of the connection if what had come of it were lost.
#[test]
fn a_read_that_times_out_in_the_middle_of_a_record_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plant = Authority::new(folder.path(), "plant");
    let behind = serve(&plant.issue("server", &["127.0.0.1"], Validity::Now), None);
    let ca = folder.path().join("plant.pem");
    // Each octet of the server's passes when the test says so, the handshake's at once.
    let (allow, allowed) = sync_channel::<()>(1);
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = front.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, mut server) = (front.accept().unwrap().0, TcpStream::connect(("127.0.0.1", behind)).unwrap());
        let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || io::copy(&mut up, &mut down));
        let mut octet = [0];
        while server.read(&mut octet).is_ok_and(|len| len == 1) && allowed.recv().is_ok() {
            if client.write_all(&octet).is_err() {
                break;
            }
        }
    });
    let granted = allow.clone();
    let (done, is_done) = channel::<()>();
    std::thread::spawn(move || {
        while is_done.try_recv().is_err() {
            let _ = granted.try_send(());
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let server = server(&format!("mqtts://127.0.0.1:{port}"), &[("ca", ca.to_str().unwrap())]).unwrap();
    let mut stream = server.connect(PATIENCE).unwrap();
    done.send(()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let (mut said, mut waits) = (Vec::<u8>::new(), 0);
    while said.len() < 5 {
        let mut octets = [0; 64];
        match stream.read(&mut octets) {
            Ok(len) => said.extend(&octets[..len]),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                waits += 1;
                let _ = allow.try_send(());
            }
        }
    }
    assert_eq!(said, b"hello");
    assert!(waits > 5, "{waits} reads timed out");
}

/// A sink has a stream of the same servers, for what they say of others, too.
#[cfg(feature = "tokio")]
#[test]
fn sinks_connect_with_tls_or_without() {
    use iot_queue_driven::Dial as _;
    use tokio::io::AsyncReadExt as _;

    let folder = tempfile::tempdir().unwrap();
    let plant = Authority::new(folder.path(), "plant");
    let ca = folder.path().join("plant.pem");
    let secure = serve(&plant.issue("server", &["127.0.0.1"], Validity::Now), None);
    let plain = listen(|mut stream| _ = stream.write_all(b"hello"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hear = |server: Server, port: u16| {
        runtime.block_on(async {
            let mut said = [0; 5];
            server.dial(&format!("127.0.0.1:{port}")).await?.read_exact(&mut said).await?;
            io::Result::Ok(said)
        })
    };
    let with = server("mqtts://plant.example", &[("ca", ca.to_str().unwrap())]).unwrap();
    assert_eq!(hear(with.clone(), secure).unwrap(), *b"hello");
    assert_eq!(hear(server("plant.example", &[]).unwrap(), plain).unwrap(), *b"hello");
    let error = hear(with, plain).unwrap_err();
    assert!(error.to_string().starts_with("the server speaks no TLS there"), "{error}");
}
