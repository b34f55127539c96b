//! The symbol that somebody meant, among tens of thousands.

/// The names nearest to `wanted`, best first, at most `limit`: those a few letters away, then those that hold it as
/// whole words (`file_open` within `security_file_open`).
pub(super) fn nearest_symbols<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Vec<String> {
    // A slip changes few letters; three are enough to turn short kernel names into other ones.
    let reach = (wanted.len() / 4).clamp(1, 3);
    let letters = letters(wanted);
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for name in names {
        let near = name.len().abs_diff(wanted.len()) <= reach
            // One change adds or removes at most two kinds of letters; comparing sets is much cheaper than comparing
            // texts, and leaves a few hundred of sixty thousand.
            && (letters ^ self::letters(name)).count_ones() as usize <= 2 * reach;
        let distance = if near { strsim::osa_distance(wanted, name) } else { usize::MAX };
        // One wrong letter is a slip; a name in other words is likelier than several wrong letters.
        if distance <= 1 {
            found.push((distance, name.len(), name));
        } else if holds(name, wanted) {
            // Where policies most often attach.
            let length = if name.starts_with("security_") { 0 } else { name.len() };
            found.push((2, length, name));
        } else if distance <= reach {
            found.push((1 + distance, name.len(), name));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(limit).map(|(_, _, name)| name.to_owned()).collect()
}

/// Whether `name` holds `part` between underscores. Short parts are everywhere.
fn holds(name: &str, part: &str) -> bool {
    const PART_BYTES_MIN: usize = 4;
    if part.len() < PART_BYTES_MIN {
        return false;
    }
    name.match_indices(part).any(|(begin, _)| {
        let (before, after) = (&name[..begin], &name[begin + part.len()..]);
        (before.is_empty() || before.ends_with('_')) && (after.is_empty() || after.starts_with('_'))
    })
}

/// The set of letters, digits and others of a name.
fn letters(name: &str) -> u64 {
    name.bytes().fold(0, |set, byte| set | 1 << (byte & 63))
}
