//! Finding a name among a hundred thousand.
//!
//! Owns the set of names, and asks for them in an order that the memory caches cannot guess.

mod measure;

use std::hint::black_box;

use portunus_certs::name::{HostName, NameMap, NamePattern};

use measure::{cpu, run};

fn main() {
    let mut map = NameMap::new();
    for index in 0..NAMES {
        for pattern in [format!("www.site-{index}.example"), format!("*.w-{index}.example")] {
            map.insert(NamePattern::parse(&pattern).expect("a well-formed pattern"), index);
        }
    }
    let shuffled = || (0..NAMES).map(|index| index * STRIDE % NAMES);
    let exact: Vec<String> = shuffled().map(|index| format!("www.site-{index}.example")).collect();
    let wildcard: Vec<String> = shuffled().map(|index| format!("any.w-{index}.example")).collect();
    let missing: Vec<String> =
        shuffled().map(|index| format!("www.none-{index}.example")).collect();

    for (kind, texts, found) in
        [("exact", &exact, NAMES), ("wildcard", &wildcard, NAMES), ("missing", &missing, 0)]
    {
        let names: Vec<HostName> = texts.iter().map(|text| parse(text)).collect();
        run(&format!("names/{kind}/100k"), NAMES, || {
            let mut hits = 0;
            let spent = cpu(|| {
                hits = names.iter().filter(|name| map.get(black_box(name)).is_some()).count();
            });
            assert_eq!(hits, found);
            spent
        });
    }
    // As it arrives from the wire: a text, which becomes a name before it is looked for.
    run("names/parse_exact/100k", NAMES, || {
        cpu(|| {
            for text in &exact {
                assert!(map.get(&parse(black_box(text))).is_some());
            }
        })
    });
}

fn parse(text: &str) -> HostName {
    HostName::parse(text).expect("a well-formed name")
}

const NAMES: usize = 100_000;

/// Prime to the number of names, so that every one is asked for once.
const STRIDE: usize = 61_803;
