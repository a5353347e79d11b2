//! The two relations of filters. Both walk valid texts only, so a wildcard stands alone in its level and `#` last.

/// MQTT 5 §4.7.1 and §4.7.2, octet by octet.
pub(super) fn matches(filter: &[u8], topic: &[u8]) -> bool {
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut rest = topic;
    for (index, &octet) in filter.iter().enumerate() {
        match (octet, rest) {
            (b'#', _) => return true,
            (b'+', _) => {
                let end = rest.iter().position(|&octet| octet == b'/').unwrap_or(rest.len());
                rest = &rest[end..];
            }
            (_, [first, after @ ..]) if *first == octet => rest = after,
            // `sport/#` matches `sport` too.
            _ => return rest.is_empty() && filter[index..] == *b"/#",
        }
    }
    rest.is_empty()
}

/// Whether every topic that `narrow` matches is matched by `wide`.
///
/// Level by level, because any text without `/` is a level: `+` stands for more than any one literal, and `#` for more
/// than any number of levels.
pub(super) fn is_subset(narrow: &str, wide: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let mut wide_levels = wide.split('/');
    for level in narrow.split('/') {
        match (level, wide_levels.next()) {
            (_, Some("#")) => return true,
            // `#` stands for no level too, which `+` does not; but no topic has no level, and none is empty. So all that
            // `#` matches has a first level, and all that `/#` matches a second one.
            ("#", Some("+")) => return wide_levels.next() == Some("#") && matches!(narrow, "#" | "/#"),
            ("#", _) | (_, None) => return false,
            (_, Some("+")) => {}
            (level, Some(other)) if level != other => return false,
            _ => {}
        }
    }
    matches!(wide_levels.next(), None | Some("#"))
}
