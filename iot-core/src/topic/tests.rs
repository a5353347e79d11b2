use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::*;

/// MQTT 5 §4.7 as a recursion over levels, in the words of the standard.
fn model_matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => model_matches(filter, topic),
        ([level, filter @ ..], [name, topic @ ..]) => level == name && model_matches(filter, topic),
        _ => false,
    }
}

fn model_matches_text(filter: &str, topic: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let names: Vec<_> = topic.split('/').collect();
    !(matches!(levels[0], "+" | "#") && topic.starts_with('$')) && model_matches(&levels, &names)
}

fn model_is_topic(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains(['\0', '+', '#'])
}

fn model_is_filter(text: &str) -> bool {
    let levels: Vec<_> = text.split('/').collect();
    let last = levels.len() - 1;
    let well_placed = |(index, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => index == last,
        other => !other.contains(['+', '#']),
    };
    !text.is_empty()
        && text.len() <= 65_535
        && !text.contains('\0')
        && !text.starts_with("$share/")
        && levels.iter().enumerate().all(well_placed)
}

/// All texts of 1 to `depth` levels out of `names`.
fn texts(names: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = names.iter().map(ToString::to_string).collect();
    for _ in 0..depth {
        all.append(&mut longest.clone());
        longest = longest.iter().flat_map(|text| names.iter().map(move |name| format!("{text}/{name}"))).collect();
    }
    all
}

fn topics(names: &[&str], depth: usize) -> Vec<String> {
    texts(names, depth).into_iter().filter(|text| model_is_topic(text)).collect()
}

/// Every pair of filters up to four levels, against every topic up to five. `z` stands in no filter, so it stands for
/// all names that none of them mentions; five levels are one more than any filter has.
#[test]
fn matching_and_subset_agree_with_brute_force_over_a_small_alphabet() {
    let universe = topics(&["", "a", "$b", "z", "$z"], 5);
    let filters: Vec<_> =
        texts(&["", "a", "$b", "+", "#"], 4).into_iter().filter(|text| model_is_filter(text)).collect();
    assert!(universe.len() == 3_904 && filters.len() == 424);
    let matched: Vec<Vec<bool>> = filters
        .iter()
        .map(|text| {
            let filter = TopicFilter::new(text).unwrap();
            let row = |topic: &String| {
                let expected = model_matches_text(text, topic);
                assert_eq!(filter.matches(&Topic::new(topic).unwrap()), expected, "{text} {topic}");
                expected
            };
            universe.iter().map(row).collect()
        })
        .collect();
    for (narrow, narrow_row) in filters.iter().zip(&matched) {
        for (wide, wide_row) in filters.iter().zip(&matched) {
            let expected = narrow_row.iter().zip(wide_row).all(|(&inner, &outer)| outer || !inner);
            let actual = TopicFilter::new(narrow).unwrap().is_subset_of(&TopicFilter::new(wide).unwrap());
            assert_eq!(actual, expected, "{narrow} in {wide}");
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    const NAMES: &[&str] = &["", "a", "ab", "b", "$", "$a", "å"];
    prop::sample::select(NAMES)
}

fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => name(), 3 => Just("+")]
}

fn filter_text() -> impl Strategy<Value = String> {
    (prop::collection::vec(level(), 0..5), any::<bool>())
        .prop_map(|(mut levels, tail)| {
            levels.extend(tail.then_some("#"));
            levels.join("/")
        })
        .prop_filter("a filter is not empty", |text| !text.is_empty())
}

fn topic_text() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..7)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic is not empty", |text| !text.is_empty())
}

/// Topics that a filter of [`filter_text`] may match: its wildcards replaced.
fn instance(filter: &str, names: &[&'static str]) -> String {
    let mut names = names.iter().copied().cycle();
    let mut levels: Vec<&str> = Vec::new();
    for level in filter.split('/') {
        match level {
            "+" => levels.extend(names.next()),
            "#" => levels.extend(names.by_ref().take(2)),
            name => levels.push(name),
        }
    }
    levels.join("/")
}

proptest! {
    #[test]
    fn matches_what_the_model_matches(
        filter in filter_text(),
        topic in topic_text(),
        names in prop::collection::vec(name(), 3),
    ) {
        for topic in [topic, instance(&filter, &names)] {
            prop_assume!(!topic.is_empty());
            let matched = TopicFilter::new(&filter).unwrap().matches(&Topic::new(&topic).unwrap());
            prop_assert_eq!(matched, model_matches_text(&filter, &topic), "{} {}", filter, topic);
        }
    }

    /// Names of either filter, and one of neither: what the model does not find there, it finds nowhere.
    #[test]
    fn is_a_subset_when_the_model_finds_no_topic_outside(narrow in filter_text(), wide in filter_text()) {
        let mut names: Vec<_> = narrow.split('/').chain(wide.split('/')).filter(|name| !name.contains(['+', '#'])).collect();
        names.extend(["", "z"]);
        names.sort_unstable();
        names.dedup();
        let depth = narrow.split('/').count().max(wide.split('/').count()) + 1;
        prop_assume!(names.len().pow(depth as u32) < 40_000);
        let outside = topics(&names, depth)
            .into_iter()
            .find(|topic| model_matches_text(&narrow, topic) && !model_matches_text(&wide, topic));
        let subset = TopicFilter::new(&narrow).unwrap().is_subset_of(&TopicFilter::new(&wide).unwrap());
        prop_assert_eq!(subset, outside.is_none(), "{} in {}: {:?}", narrow, wide, outside);
    }

    #[test]
    fn subset_is_transitive_and_every_filter_is_its_own(a in filter_text(), b in filter_text(), c in filter_text()) {
        let [a, b, c] = [&a, &b, &c].map(|text| TopicFilter::new(text).unwrap());
        prop_assert!(a.is_subset_of(&a));
        prop_assert!(!(a.is_subset_of(&b) && b.is_subset_of(&c)) || a.is_subset_of(&c));
    }

    #[test]
    fn accepts_exactly_the_texts_that_the_standard_allows(
        text in prop_oneof!["[ab/+#$\0]{0,6}", "(\\$share/)?[ab/+#]{0,6}", any::<String>()],
    ) {
        prop_assert_eq!(Topic::new(&text).is_ok(), model_is_topic(&text));
        prop_assert_eq!(TopicFilter::new(&text).is_ok(), model_is_filter(&text));
        let shared = text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).is_some_and(|(name, filter)| {
            !name.is_empty() && !name.contains(['+', '#', '\0']) && model_is_filter(filter)
        });
        prop_assert_eq!(SharedFilter::new(&text).is_ok(), shared);
    }
}

#[test]
fn follows_the_examples_of_the_standard() {
    let rows = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor/Clients", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("ACCOUNTS", "Accounts", false),
    ];
    for (filter, topic, expected) in rows {
        let matched = TopicFilter::new(filter).unwrap().matches(&Topic::new(topic).unwrap());
        assert_eq!(matched, expected, "{filter} {topic}");
    }
}

#[test]
fn filters_of_the_same_topics_are_subsets_of_each_other() {
    for (a, b) in [("#", "+/#"), ("/#", "/+/#")] {
        let [a, b] = [a, b].map(|text| TopicFilter::new(text).unwrap());
        assert!(a.is_subset_of(&b) && b.is_subset_of(&a));
    }
}

#[test]
fn names_the_rule_and_the_place() {
    assert_eq!(Topic::new(""), Err(TopicError::Empty));
    assert_eq!(Topic::new("a/b+"), Err(TopicError::Wildcard { wildcard: '+', offset: 3 }));
    assert_eq!(Topic::new("å\0"), Err(TopicError::Nul { offset: 2 }));
    assert_eq!(TopicFilter::new(""), Err(TopicFilterError::Empty));
    assert_eq!(TopicFilter::new("a/#b"), Err(TopicFilterError::WildcardNotAlone { wildcard: '#', offset: 2 }));
    assert_eq!(TopicFilter::new("+a"), Err(TopicFilterError::WildcardNotAlone { wildcard: '+', offset: 0 }));
    assert_eq!(TopicFilter::new("a/#/b"), Err(TopicFilterError::WildcardNotLast { offset: 2 }));
    assert_eq!(TopicFilter::new("a\0"), Err(TopicFilterError::Nul { offset: 1 }));
    assert_eq!(TopicFilter::new("$share/a/b"), Err(TopicFilterError::Shared));
}

#[test]
fn shared_subscriptions_are_a_type_of_their_own() {
    let shared = SharedFilter::new("$share/readers//+").unwrap();
    assert_eq!((shared.share_name(), shared.filter().as_str()), ("readers", "/+"));
    assert_eq!(shared.as_str(), "$share/readers//+");
    assert_eq!(SharedFilter::new("readers/a"), Err(TopicFilterError::NotShared));
    assert_eq!(SharedFilter::new("$share"), Err(TopicFilterError::NotShared));
    assert_eq!(SharedFilter::new("$share/readers"), Err(TopicFilterError::ShareName { offset: 14 }));
    assert_eq!(SharedFilter::new("$share//a"), Err(TopicFilterError::ShareName { offset: 7 }));
    assert_eq!(SharedFilter::new("$share/re+/a"), Err(TopicFilterError::ShareName { offset: 9 }));
    assert_eq!(SharedFilter::new("$share/readers/"), Err(TopicFilterError::Empty));
    assert_eq!(SharedFilter::new("$share/r/a/#/b"), Err(TopicFilterError::WildcardNotLast { offset: 11 }));
    assert_eq!(SharedFilter::new("$share/a/$share/b/c"), Err(TopicFilterError::Shared));
    // Without the second separator it is an ordinary name.
    assert!(TopicFilter::new("$share").is_ok());
}

#[test]
fn the_longest_topic_is_accepted_and_one_octet_more_is_not() {
    for longest in ["/".repeat(65_535), "å".repeat(32_767) + "a"] {
        assert_eq!(Topic::new(&longest).map(|topic| topic.as_str()), Ok(&longest[..]));
        assert!(TopicFilter::new(&longest).unwrap().matches(&Topic::new(&longest).unwrap()));
        let longer = longest + "a";
        assert_eq!(Topic::new(&longer), Err(TopicError::TooLong { len: 65_536, max: 65_535 }));
        assert_eq!(TopicFilter::new(&longer), Err(TopicFilterError::TooLong { len: 65_536, max: 65_535 }));
    }
}

#[test]
fn narrower_limits_hold_for_topics_filters_and_shared_filters() {
    let limits = TopicLimits::default().bytes(10).unwrap().levels(2).unwrap();
    assert!(Topic::with_limits("a/23456789", &limits).is_ok());
    assert_eq!(Topic::with_limits("a/234567890", &limits), Err(TopicError::TooLong { len: 11, max: 10 }));
    assert_eq!(Topic::with_limits("a/b/", &limits), Err(TopicError::TooManyLevels { count: 3, max: 2 }));
    assert_eq!(TopicFilter::with_limits("a/+/#", &limits), Err(TopicFilterError::TooManyLevels { count: 3, max: 2 }));
    assert!(SharedFilter::with_limits("$share/a/b", &limits).is_ok());
    let too_long = Err(TopicFilterError::TooLong { len: 11, max: 10 });
    assert_eq!(SharedFilter::with_limits("$share/a/bc", &limits), too_long);
}

#[test]
fn refuses_limits_that_no_topic_could_keep() {
    assert!(TopicLimits::default().bytes(0).is_err());
    assert!(TopicLimits::default().levels(0).is_err());
    assert!(TopicLimits::default().levels(TOPIC_LEVELS).is_ok());
    assert!(TopicLimits::default().levels(TOPIC_LEVELS + 1).is_err());
}

#[test]
fn topics_can_be_checked_when_the_program_is_compiled() {
    const BOILER: Topic<'static> = match Topic::new("plant/7/boiler") {
        Ok(topic) => topic,
        Err(_) => panic!("malformed topic"),
    };
    assert_eq!(BOILER.levels().collect::<Vec<_>>(), vec!["plant", "7", "boiler"]);
    assert!(!BOILER.is_reserved() && Topic::new("$SYS").unwrap().is_reserved());
}
