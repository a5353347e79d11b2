//! Many clients of one server, each under a name of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use iot_coap::{Arrived, Client, ResponseType, Server};

/// A packet for whoever observes a name.
type Going = (&'static str, Vec<u8>);

/// A server at a free address, where only names of one letter are names.
fn serve() -> (String, Sender<Going>, Receiver<Arrived>) {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = Server::bind(&address, |name| name.len() == 1).unwrap();
    let ((put, to_put), (arrive, arrived)) = (channel::<Going>(), channel());
    std::thread::spawn(move || {
        loop {
            to_put.try_iter().for_each(|(name, packet)| server.put(name, &packet));
            let mut take = |packet| arrive.send(packet).map(|()| ResponseType::Changed).unwrap();
            server.serve(Duration::from_millis(5), &mut take).unwrap();
        }
    });
    (address, put, arrived)
}

/// The next packet; a state that is empty is none.
fn next(client: &mut Client) -> Vec<u8> {
    (0..100).find_map(|_| client.receive(Duration::from_millis(100)).unwrap()).expect("it comes within ten seconds")
}

#[test]
fn each_client_posts_and_observes_under_its_name() {
    let (address, put, arrived) = serve();
    let mut clients = ["a", "b"].map(|name| Client::connect(&address, name).unwrap());
    // Longer than a block, so that the client fetches the rest.
    let long = (0..3000_u32).map(|number| number as u8).collect::<Vec<_>>();
    put.send(("b", b"for b".to_vec())).unwrap();
    put.send(("a", long.clone())).unwrap();
    put.send(("b", b"for b again".to_vec())).unwrap();
    assert_eq!(next(&mut clients[0]), long);
    assert_eq!([next(&mut clients[1]), next(&mut clients[1])], [&b"for b"[..], b"for b again"]);
    assert_eq!(clients[0].receive(Duration::from_millis(300)).unwrap(), None);
    for (client, name) in clients.iter_mut().zip(["a", "b"]) {
        client.post(&long).unwrap();
        let came = arrived.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((came.name.as_str(), came.packet), (name, long.clone()));
    }
}

#[test]
fn there_is_nothing_under_what_is_no_name() {
    let (address, ..) = serve();
    for name in ["nobody", ""] {
        let refused = Client::connect(&address, name).err().unwrap().to_string();
        assert!(refused.contains("4.04"), "{refused}");
    }
}

#[test]
fn what_is_not_taken_is_said() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = Server::bind(&address, str::is_empty).unwrap();
    std::thread::spawn(move || {
        let mut admits = [ResponseType::Changed].into_iter();
        let mut take = |arrived: Arrived| match arrived.packet.len() {
            0..10 => ResponseType::BadRequest,
            10..2000 => admits.next().unwrap_or(ResponseType::TooManyRequests),
            _ => ResponseType::ServiceUnavailable,
        };
        loop {
            server.serve(Duration::from_millis(5), &mut take).unwrap();
        }
    });
    let mut client = Client::connect(&address, "").unwrap();
    client.post(&[1; 10]).unwrap();
    // The last comes in blocks.
    for (len, answer) in [(10, "4.29"), (9, "4.00"), (2000, "5.03")] {
        let refused = client.post(&vec![2; len]).unwrap_err().to_string();
        assert!(refused.contains(answer), "{refused}");
    }
}
