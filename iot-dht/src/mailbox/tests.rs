use std::vec;
use std::vec::Vec;

use iot_crypto::SigningKey;
use proptest::prelude::*;

use super::*;

const EXPIRES: Timestamp = Timestamp::from_secs(1_767_229_200);

fn sender() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn reader() -> SigningKey {
    SigningKey::from_seed(&[4; 32])
}

fn name() -> [u8; 37] {
    Mailbox::name(&reader().verifying_key().device_id())
}

fn read(record: &Record, next: u64) -> Vec<(u64, Vec<u8>)> {
    let mail = Mail::read(record, &name(), next).unwrap();
    mail.messages().map(|(number, message)| (number, message.to_vec())).collect()
}

#[test]
fn a_sleeping_reader_finds_what_it_does_not_have() {
    let mut mailbox = Mailbox::new(&name());
    assert_eq!(mailbox.post(b"one"), Ok(0));
    assert_eq!(mailbox.post(b"two"), Ok(1));
    let record = mailbox.sign(&sender(), EXPIRES).unwrap();
    assert_eq!(*record.key(), Mail::key(&sender().verifying_key().device_id(), &name()));
    assert_eq!(read(&record, 0), [(0, b"one".to_vec()), (1, b"two".to_vec())]);
    assert_eq!(read(&record, 1), [(1, b"two".to_vec())]);
    let mail = Mail::read(&record, &name(), 7).unwrap();
    assert_eq!((mail.messages().count(), mail.missed(), mail.next()), (0, 0, 2), "an old copy brings nothing");

    let to = Receipt::name(&sender().verifying_key().device_id());
    let receipt = Receipt::sign(&reader(), &to, 1, EXPIRES).unwrap();
    let receipt = Receipt::read(&receipt, &to).unwrap();
    assert_eq!(*receipt.reader(), reader().verifying_key().device_id());
    mailbox.confirm(receipt.next());
    assert_eq!(mailbox.post(b"three"), Ok(2));
    let newer = mailbox.sign(&sender(), EXPIRES).unwrap();
    assert!(newer.sequence() > record.sequence());
    assert_eq!(read(&newer, 1), [(1, b"two".to_vec()), (2, b"three".to_vec())]);
    assert_eq!(Mail::read(&newer, &name(), 0).unwrap().missed(), 1, "one was confirmed that this reader never had");
}

#[test]
fn a_full_mailbox_refuses_until_some_are_confirmed() {
    let mut mailbox = Mailbox::new(&[b'x'; Record::MAX_NAME_LEN]);
    let len = Mailbox::MAX_OCTETS + 1;
    assert_eq!(mailbox.post(&vec![1; len]), Err(PostError::TooLarge { len }));
    mailbox.post(&[1; 400]).unwrap();
    mailbox.post(&[2; 400]).unwrap();
    assert_eq!(mailbox.post(&[3; 400]), Err(PostError::Full { waiting: 2 }));
    mailbox.confirm(1);
    mailbox.confirm(1);
    assert_eq!(mailbox.post(&[3; 400]), Ok(2));
    mailbox.sign(&sender(), EXPIRES).unwrap();
    mailbox.confirm(u64::MAX);
    assert_eq!(mailbox.next(), 3);
    assert_eq!(mailbox.post(&vec![1; Mailbox::MAX_OCTETS - 3]), Ok(3));
    assert!(mailbox.sign(&sender(), EXPIRES).is_ok(), "the fullest mailbox with the longest name is a record");
}

#[test]
fn other_records_are_no_mail() {
    let mut mailbox = Mailbox::new(b"another");
    mailbox.post(b"one").unwrap();
    let record = mailbox.sign(&sender(), EXPIRES).unwrap();
    assert_eq!(Mail::read(&record, &name(), 0), Err(MailError::Name));
    assert_eq!(Receipt::read(&record, &name()), Err(MailError::Name));
    let broken = Record::sign(&sender(), &name(), 0, EXPIRES, b"noise").unwrap();
    assert!(matches!(Mail::read(&broken, &name(), 0), Err(MailError::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whenever the sender restarts and whichever receipts come, the reader gets every message once and in order.
    #[test]
    fn nothing_is_lost_or_read_twice(steps in proptest::collection::vec((0_u8..5, 0_usize..500), 1..60)) {
        let mut mailbox = Mailbox::new(&name());
        let (mut posted, mut had, mut latest) = (Vec::new(), Vec::new(), None);
        for (step, len) in steps {
            match step {
                0 | 1 => {
                    let message = vec![posted.len() as u8; len];
                    if let Ok(number) = mailbox.post(&message) {
                        prop_assert_eq!(number, posted.len() as u64);
                        posted.push(message);
                    }
                }
                2 => latest = Some(mailbox.sign(&sender(), EXPIRES).unwrap()),
                3 => if let Some(record) = &latest {
                    let mail = Mail::read(record, &name(), had.len() as u64).unwrap();
                    prop_assert_eq!(mail.missed(), 0);
                    had.extend(mail.messages().map(|(_, message)| message.to_vec()));
                },
                _ => {
                    mailbox.confirm((had.len() - had.len() % 2) as u64);
                    mailbox = Mailbox::restore(&mailbox.state()).unwrap();
                }
            }
            prop_assert_eq!(&had[..], &posted[..had.len()]);
        }
        let last = mailbox.sign(&sender(), EXPIRES).unwrap();
        let mail = Mail::read(&last, &name(), had.len() as u64).unwrap();
        had.extend(mail.messages().map(|(_, message)| message.to_vec()));
        prop_assert_eq!(had, posted);
    }
}
