extern crate std;
use rand_core::SeedableRng as _;
use std::format;

use super::*;

const PASSWORD: &[u8] = b"correct horse";
const EXTERNAL: &[u8] = b"gateway 7";
const SECRET: &[u8] = b"sixteen octets!!";

fn rng() -> rand_chacha::ChaCha20Rng {
    rand_chacha::ChaCha20Rng::from_seed([8; 32])
}

fn locked(cost: KeyFileCost) -> Vec<u8> {
    KeyFile::lock(SECRET, PASSWORD, EXTERNAL, cost, &mut rng()).unwrap()
}

fn unlock(file: &KeyFile<'_>, password: &[u8], external: &[u8]) -> Result<Vec<u8>, KeyFileError> {
    let mut buffer = [0x55; 64];
    match file.unlock(password, external, &mut buffer) {
        Ok(secret) => Ok(secret.to_vec()),
        Err(refused) => {
            assert!(!buffer.windows(SECRET.len()).any(|window| window == SECRET));
            Err(refused)
        }
    }
}

fn parse_cheap(octets: &[u8]) -> Result<KeyFile<'_>, KeyFileError> {
    KeyFile::parse_within(octets, &KeyFileCost::trifle(), &KeyFileCost::trifle())
}

#[test]
fn a_secret_comes_back_by_its_password_and_use() {
    let octets = locked(KeyFileCost::LEAST);
    let file = KeyFile::parse(&octets).unwrap();
    assert_eq!((file.cost(), file.secret_len()), (KeyFileCost::LEAST, SECRET.len()));
    assert_eq!(unlock(&file, PASSWORD, EXTERNAL).unwrap(), SECRET);
    assert_eq!(unlock(&file, b"correct hors", EXTERNAL), Err(KeyFileError::Locked));
    assert_eq!(unlock(&file, PASSWORD, b"gateway 8"), Err(KeyFileError::Locked));
    let mut short = [0; 15];
    let short = file.unlock(PASSWORD, EXTERNAL, &mut short);
    assert_eq!(short, Err(KeyFileError::Buffer(BufferTooSmall { needed: 16, available: 15 })));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let mut octets = locked(KeyFileCost::trifle());
    assert_eq!(unlock(&parse_cheap(&octets).unwrap(), PASSWORD, EXTERNAL).unwrap(), SECRET);
    for end in 0..octets.len() {
        assert!(parse_cheap(&octets[..end]).is_err(), "truncated to {end}");
    }
    for bit in 0..octets.len() * 8 {
        octets[bit / 8] ^= 1 << (bit % 8);
        let opened = parse_cheap(&octets).and_then(|file| unlock(&file, PASSWORD, EXTERNAL));
        assert!(opened.is_err(), "bit {bit}");
        octets[bit / 8] ^= 1 << (bit % 8);
    }
    octets.push(0);
    assert!(parse_cheap(&octets).is_err());
}

/// Whatever in the file was changed, and whether the password is right: what a thief learns is the same.
#[test]
fn a_wrong_password_and_a_changed_file_look_alike() {
    let mut octets = locked(KeyFileCost::trifle());
    let wrong = unlock(&parse_cheap(&octets).unwrap(), b"", EXTERNAL).unwrap_err();
    *octets.last_mut().unwrap() ^= 1;
    let changed = unlock(&parse_cheap(&octets).unwrap(), PASSWORD, EXTERNAL).unwrap_err();
    assert_eq!((wrong, changed), (KeyFileError::Locked, KeyFileError::Locked));
}

#[test]
fn a_hostile_file_cannot_ask_for_much_or_little() {
    let cost = |kibibytes: u32, passes: u32, lanes: u32| {
        let cost = KeyFileCost::new(kibibytes, passes, lanes);
        // The same bounds hold for what a file says.
        let protected = encoded(|writer| {
            writer.map(2)?;
            writer.int(ALG)?;
            writer.int(CHACHA20_POLY1305)?;
            writer.int(ARGON2ID)?;
            writer.array(4)?;
            [kibibytes, passes, lanes].into_iter().try_for_each(|number| writer.unsigned(number.into()))?;
            writer.bytes(&[0; SALT_LEN])
        });
        let octets = encoded(|writer| {
            writer.tag(TAG)?;
            writer.array(3)?;
            writer.bytes(&protected)?;
            writer.map(1)?;
            writer.int(IV)?;
            writer.bytes(&[0; NONCE_LEN])?;
            writer.bytes(&[0; TAG_LEN])
        });
        assert_eq!(KeyFile::parse(&octets).map(|file| file.cost()), cost.map_err(KeyFileError::Cost));
        cost.map(drop)
    };
    assert_eq!(cost(19_456, 2, 1), Ok(()));
    assert_eq!(cost(65_536, 3, 4), Ok(()));
    assert!(matches!(cost(19_455, 2, 1), Err(CostError::TooLittle { .. })));
    assert!(matches!(cost(19_456, 1, 1), Err(CostError::TooLittle { .. })));
    assert!(matches!(cost(4 << 20, 2, 1), Err(CostError::TooMuch { .. })));
    assert!(matches!(cost(u32::MAX, 2, 1), Err(CostError::TooMuch { .. })));
    assert!(matches!(cost(19_456, 17, 1), Err(CostError::TooMuch { .. })));
    assert!(matches!(cost(19_456, 2, 17), Err(CostError::TooMuch { .. })));
    assert!(matches!(cost(19_456, 2, 0), Err(CostError::Lanes { .. })));
    let octets = locked(KeyFileCost::default());
    let small = KeyFileCost::new(32 * 1024, 3, 4).unwrap();
    assert!(matches!(KeyFile::parse_up_to(&octets, &small), Err(KeyFileError::Cost(CostError::TooMuch { .. }))));
}

#[test]
fn a_number_beyond_32_bits_is_too_much() {
    let mut octets = encoded(|writer| {
        writer.unsigned(1 << 40)?;
        writer.unsigned(2)?;
        writer.unsigned(1)
    });
    let refused = KeyFileCost::read(&mut Cursor::new(&octets), &KeyFileCost::LEAST, &KeyFileCost::MOST);
    assert!(matches!(refused, Err(KeyFileError::Cost(CostError::TooMuch { kibibytes: u32::MAX, .. }))));
    octets.clear();
    let refused = KeyFileCost::read(&mut Cursor::new(&octets), &KeyFileCost::LEAST, &KeyFileCost::MOST);
    assert!(matches!(refused, Err(KeyFileError::Malformed(_))));
}

#[test]
fn secrets_have_a_longest_length() {
    let secret = std::vec![0; KeyFile::MAX_SECRET_LEN + 1];
    let refused = KeyFile::lock(&secret, PASSWORD, EXTERNAL, KeyFileCost::trifle(), &mut rng());
    assert_eq!(refused, Err(KeyFileError::TooLong { len: 65_536 }));
    let octets = KeyFile::lock(&secret[1..], PASSWORD, EXTERNAL, KeyFileCost::trifle(), &mut rng()).unwrap();
    assert_eq!(parse_cheap(&octets).unwrap().secret_len(), KeyFile::MAX_SECRET_LEN);
}

#[test]
fn other_structures_are_no_key_files() {
    for octets in [&[0xd2, 0x80][..], &[0xd0, 0x80], &[0xd0, 0x83, 0x40, 0xa0, 0x40]] {
        assert_eq!(KeyFile::parse(octets).err(), Some(KeyFileError::Form), "{octets:x?}");
    }
    assert!(matches!(KeyFile::parse(&[0x80]), Err(KeyFileError::Malformed(_))));
}

#[test]
fn debug_shows_the_cost_alone() {
    let octets = locked(KeyFileCost::trifle());
    let shown = format!("{:?}", parse_cheap(&octets).unwrap());
    assert_eq!(shown, "KeyFile { cost: KeyFileCost { kibibytes: 8, passes: 1, lanes: 1 }, .. }");
}

/// `tests/vectors/keyfile.txt`, which python wrote from `docs/formats/keys.md`.
#[test]
fn opens_a_file_of_another_implementation() {
    let text = include_str!("../../tests/vectors/keyfile.txt");
    let field = |name: &str| -> Vec<u8> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
        (0..line.len()).step_by(2).map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()).collect()
    };
    let octets = field("file");
    let file = KeyFile::parse(&octets).unwrap();
    assert_eq!(unlock(&file, &field("password"), &field("external")).unwrap(), field("secret"));
}
