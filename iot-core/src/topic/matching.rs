//! The two relations of filters. Both walk valid texts only, so a wildcard stands alone in its level and `#` last.

/// MQTT 5 §4.7.1 and §4.7.2, octet by octet.
pub(super) fn matches(filter: &[u8], topic: &[u8]) -> bool {
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut at = 0;
    for (index, &octet) in filter.iter().enumerate() {
        match octet {
            b'#' => return true,
            b'+' => {
                while at < topic.len() && topic[at] != b'/' {
                    at += 1;
                }
            }
            _ if topic.get(at) == Some(&octet) => at += 1,
            // `sport/#` matches `sport` too.
            _ => return at == topic.len() && filter[index..] == *b"/#",
        }
    }
    at == topic.len()
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
