use proptest::prelude::*;

use super::*;

/// The bucket as arithmetic has it: fractions in 128 bits, and no saturation.
struct Model {
    count: u128,
    period: u128,
    burst: u128,
    level: u128,
    latest: u128,
}

impl Model {
    fn level_at(&self, now: u128) -> u128 {
        (self.level + now.saturating_sub(self.latest) * self.count).min(self.burst * self.period)
    }

    fn try_take(&mut self, now: u128, count: u128) -> bool {
        self.level = self.level_at(now);
        self.latest = self.latest.max(now);
        let taken = count * self.period <= self.level;
        if taken {
            self.level -= count * self.period;
        }
        taken
    }
}

/// Small numbers, where tokens come and go, and the largest ones, where arithmetic overflows.
fn extent() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1_u64..50, 2 => 1_u64..5_000_000, 1 => 1_u64..u64::MAX, 1 => Just(u64::MAX)]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ahead(u64),
    Back(u64),
    Take(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => extent().prop_map(Step::Ahead),
        1 => extent().prop_map(Step::Back),
        5 => (0_u64..12).prop_map(Step::Take),
        1 => extent().prop_map(Step::Take),
    ]
}

proptest! {
    #[test]
    fn agrees_with_exact_arithmetic_whatever_the_clock_does(
        count in extent(),
        period in extent(),
        burst in extent(),
        start in prop_oneof![Just(0), extent()],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let period = period.min(u64::MAX - 1);
        let burst = burst.min(u64::MAX / period);
        let rate = Rate::new(count, Duration::from_micros(period)).unwrap();
        let mut now = Instant::from_micros(start);
        let mut limit = RateLimit::new(rate, burst, now).unwrap();
        let level = u128::from(burst) * u128::from(period);
        let (count, period, burst) = (count.into(), period.into(), burst.into());
        let mut model = Model { count, period, burst, level, latest: start.into() };
        for step in steps {
            let wanted = match step {
                Step::Ahead(micros) => { now = now.saturating_add(Duration::from_micros(micros)); 0 }
                Step::Back(micros) => { now = Instant::from_micros(now.as_micros().saturating_sub(micros)); 0 }
                Step::Take(wanted) => wanted,
            };
            prop_assert_eq!(u128::from(limit.available(now)), model.level_at(now.as_micros().into()) / period);
            let taken = model.try_take(now.as_micros().into(), wanted.into());
            match limit.try_take(now, wanted) {
                Ok(()) => prop_assert!(taken),
                Err(RateLimited::OverBurst { .. }) => prop_assert!(u128::from(wanted) > burst),
                Err(RateLimited::RetryAt(at)) => {
                    prop_assert!(!taken && u128::from(wanted) <= burst);
                    prop_assert!(at > now || at == Instant::MAX);
                    let before = Instant::from_micros(at.as_micros() - 1);
                    prop_assert!(limit.clone().try_take(before, wanted).is_err());
                    if at < Instant::MAX {
                        prop_assert_eq!(limit.clone().try_take(at, wanted), Ok(()));
                    }
                }
            }
        }
    }
}

#[test]
fn asking_often_gives_no_more_and_no_less_than_asking_once() {
    // Three tokens in seven microseconds: no microsecond brings a whole number of them.
    let mut limit = RateLimit::new(Rate::new(3, Duration::from_micros(7)).unwrap(), 3, Instant::START).unwrap();
    assert_eq!(limit.try_take(Instant::START, 3), Ok(()));
    let taken = (1..=7_000_000).filter(|&at| limit.try_take(Instant::from_micros(at), 1).is_ok()).count();
    assert_eq!(taken, 3_000_000);
}

#[test]
fn a_clock_that_swings_does_not_mint_tokens() {
    let mut limit = RateLimit::new(Rate::per_second(1).unwrap(), 1, Instant::from_micros(5_000_000)).unwrap();
    assert_eq!(limit.try_take(Instant::from_micros(5_000_000), 1), Ok(()));
    for _ in 0..100 {
        assert!(limit.try_take(Instant::START, 1).is_err());
        let retry = RateLimited::RetryAt(Instant::from_micros(6_000_000));
        assert_eq!(limit.try_take(Instant::from_micros(5_000_000), 1), Err(retry));
    }
}

#[test]
fn refuses_settings_that_cannot_be_kept() {
    assert!(Rate::new(0, Duration::from_secs(1)).is_err());
    assert!(Rate::new(1, Duration::ZERO).is_err());
    assert!(Rate::new(1, Duration::MAX).is_err());
    let day = Rate::new(1, Duration::from_secs(86_400)).unwrap();
    assert!(RateLimit::new(day, 0, Instant::START).is_err());
    let max = u64::MAX / 86_400_000_000;
    assert!(RateLimit::new(day, max, Instant::START).is_ok());
    let refused = OutOfRange { setting: "burst", value: max + 1, min: 1, max };
    assert_eq!(RateLimit::new(day, max + 1, Instant::START), Err(refused));
}

#[test]
fn rounds_a_period_up_so_that_no_more_comes_than_was_asked_for() {
    let rate = Rate::new(1, Duration::from_nanos(1_001)).unwrap();
    assert_eq!(rate, Rate::new(1, Duration::from_micros(2)).unwrap());
}
