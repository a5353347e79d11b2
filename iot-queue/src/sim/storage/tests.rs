use super::*;

const SEGMENT: SegmentNumber = SegmentNumber::new(0);

fn disk() -> SimStorage {
    let mut disk = SimStorage::new();
    disk.allocate(SEGMENT, 4096).expect("the disk works");
    disk.sync_directory().expect("the disk works");
    disk
}

fn read(disk: &SimStorage, len: usize) -> Vec<u8> {
    let mut octets = alloc::vec![0; len];
    disk.read_at(SEGMENT, 0, &mut octets).expect("the disk works");
    octets
}

#[test]
fn keeps_what_was_synced_and_any_part_of_the_rest() {
    let mut kept = alloc::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut disk = disk();
        disk.write_at(SEGMENT, 0, &[1; 512]).expect("the disk works");
        disk.sync(SEGMENT).expect("the disk works");
        disk.write_at(SEGMENT, 512, &[2; 1024]).expect("the disk works");
        disk.kill();
        assert_eq!(read(&disk, 1536)[512..], [2; 1024], "a kill leaves the cache as it is");
        disk.seed(seed);
        disk.crash();
        let octets = read(&disk, 1536);
        assert_eq!(octets[..512], [1; 512]);
        kept.insert(octets[512..].iter().filter(|&&octet| octet == 2).count());
    }
    assert!(kept.contains(&0) && kept.contains(&512) && kept.contains(&1024) && kept.len() > 10, "{kept:?}");
}

#[test]
fn a_failed_sync_leaves_octets_clean_that_are_not_on_the_medium() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut disk = disk();
        disk.seed(seed);
        disk.write_at(SEGMENT, 0, &[1; 512]).expect("the disk works");
        disk.inject_once(Fault::Sync, 0);
        assert!(disk.sync(SEGMENT).is_err());
        disk.sync(SEGMENT).expect("nothing is dirty any more");
        let before = read(&disk, 512);
        disk.crash();
        lost += u32::from(before == [1; 512] && read(&disk, 512) != before);
    }
    assert!(lost > 10, "the cache showed more than the medium held {lost} times of 100");
}

#[test]
fn segments_exist_for_good_after_a_sync_of_the_directory() {
    let mut disk = SimStorage::new();
    disk.allocate(SEGMENT, 4096).expect("the disk works");
    disk.crash_with(|_| Fate::Kept);
    assert!(disk.list().expect("the disk works").is_empty());
    let mut disk = self::disk();
    disk.crash_with(|_| Fate::Lost);
    assert_eq!(disk.list().map(|list| list.len()), Ok(1));
    disk.remove(SEGMENT).expect("it is there");
    disk.sync_directory().expect("the disk works");
    disk.crash();
    assert!(disk.list().expect("the disk works").is_empty());
}

#[test]
fn nothing_works_without_power() {
    let mut disk = disk();
    disk.inject_once(Fault::Power, 0);
    assert!(disk.write_at(SEGMENT, 0, &[1; 8]).is_err() && disk.is_without_power());
    assert!(disk.list().is_err() && disk.sync(SEGMENT).is_err() && disk.read_at(SEGMENT, 0, &mut [0]).is_err());
    disk.crash_with(|_| Fate::TornAfter(3));
    assert_eq!(read(&disk, 8), [1, 1, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_flipped_bit_is_seen_at_once_and_stays() {
    let mut disk = disk();
    assert!(disk.flip_bit(SEGMENT, 9, 2));
    assert_eq!(read(&disk, 16)[9], 4);
    disk.crash();
    assert_eq!(read(&disk, 16)[9], 4);
    disk.write_at(SEGMENT, 9, &[1]).expect("the disk works");
    assert!(!disk.flip_bit(SEGMENT, 9, 2), "a write that no sync covered is about to overwrite it");
}
