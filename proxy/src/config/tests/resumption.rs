//! What is shared through which store, what each listener resumes with, and what is said about
//! each fault.

use super::*;

/// The least of a shared store, behind what says where it is.
fn shared(text: &str) -> String {
    format!("[resumption.shared]\nsealing_key = 'file:seal.keys'\n{text}\n{LEAST}")
}

fn store(text: &str) -> SharedTier {
    parse(&shared(text)).unwrap().resumption.shared.unwrap()
}

/// Checks the lines that come of a text put before the least configuration.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let errors = parse(&format!("{text}\n{LEAST}")).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected: Vec<String> = expected.iter().map(|line| format!("config.toml:{line}")).collect();
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn without_a_word_sessions_are_kept_in_this_process_and_ticket_keys_are_its_own() {
    let config = parse(LEAST).unwrap();
    let hour = Duration::from_secs(3_600);
    let tickets = Tickets { rotation: hour, keys: TicketKeySource::Generated };
    assert_eq!(config.resumption.mode, ResumptionMode::Stateful);
    assert_eq!(config.resumption.lifetime, hour);
    assert_eq!(config.resumption.tickets, tickets);
    assert_eq!(config.resumption.shared, None);
    assert_eq!(config.listeners[0].resumption, ResumptionMode::Stateful);
}

#[test]
fn a_listener_resumes_as_it_says_and_else_as_all_do() {
    let modes = [
        ("stateful", ResumptionMode::Stateful),
        ("tickets", ResumptionMode::Tickets),
        ("both", ResumptionMode::Both),
        ("off", ResumptionMode::Off),
    ];
    for (word, mode) in modes {
        let config = parse(&format!("resumption.mode = '{word}'\n{LEAST}")).unwrap();
        assert_eq!((config.resumption.mode, config.listeners[0].resumption), (mode, mode));
        let own =
            LEAST.replace("backend = 'app'", &format!("backend = 'app'\nresumption = '{word}'"));
        let config = parse(&own).unwrap();
        assert_eq!(config.listeners[0].resumption, mode);
        assert_eq!(config.resumption.mode, ResumptionMode::Stateful);
    }
    let own = LEAST.replace("backend = 'app'", "backend = 'app'\nresumption = 'sometimes'");
    assert_eq!(
        parse(&own).unwrap_err().to_string(),
        "config.toml:4: listener.https.resumption: `sometimes` is none of `stateful`, `tickets`, \
         `both` or `off`"
    );
}

#[test]
fn a_redis_has_its_address_as_a_secret_and_every_key_its_default() {
    let tier = store("url = 'redis://user:${ADMIN_TOKEN}@redis.internal:6379/3'");
    let expected = SharedTier {
        engine: SharedEngine::Redis {
            url: Secret::new("redis://user:0123456789-secret-of-env@redis.internal:6379/3"),
            ca: None,
            prefix: "portunus".to_owned(),
        },
        sealing_key: "/etc/portunus/seal.keys".into(),
        timeout: Duration::from_millis(5),
        queue_max: 8_192,
        in_flight_max: 1_024,
    };
    assert_eq!(tier, expected);
}

#[test]
fn every_key_of_a_shared_store_has_its_meaning() {
    let tier = store(
        "url = 'rediss://r:6379'\nca = 'redis.pem'\nprefix = 'east-1'\ntimeout = '20ms'\n\
         queue = 1\nin_flight = 7",
    );
    let expected = SharedTier {
        engine: SharedEngine::Redis {
            url: Secret::new("rediss://r:6379"),
            ca: Some("/etc/portunus/redis.pem".into()),
            prefix: "east-1".to_owned(),
        },
        sealing_key: "/etc/portunus/seal.keys".into(),
        timeout: Duration::from_millis(20),
        queue_max: 1,
        in_flight_max: 7,
    };
    assert_eq!(tier, expected);
    let local = |path: &str, bytes_max| SharedEngine::Local { path: path.into(), bytes_max };
    let file = store("url = 'file:run/sessions'");
    assert_eq!(file.engine, local("/etc/portunus/run/sessions", 64 << 20));
    let file = store("url = 'file:/dev/shm/portunus'\nsize = '1 GiB'");
    assert_eq!(file.engine, local("/dev/shm/portunus", 1 << 30));
}

#[test]
fn every_kind_of_redis_is_known_by_its_scheme_and_those_with_tls_take_an_authority() {
    for scheme in ["redis", "redis+unix", "redis+sentinel", "redis+cluster", "Valkey+Cluster"] {
        let url = format!("url = '{scheme}://somewhere'");
        assert!(matches!(store(&url).engine, SharedEngine::Redis { ca: None, .. }), "{scheme}");
        let line = "3: resumption.shared.ca: only a store at `rediss://…` has it; leave it out";
        let text = format!("[resumption.shared]\n{url}\nca = 'ca.pem'\nsealing_key = 'file:k'");
        check(&text, &[line]);
    }
    for scheme in ["rediss", "rediss+sentinel", "rediss+cluster", "valkeys"] {
        let engine = store(&format!("url = '{scheme}://somewhere'\nca = 'ca.pem'")).engine;
        assert!(matches!(engine, SharedEngine::Redis { ca: Some(_), .. }), "{scheme}");
    }
}

#[test]
fn ticket_keys_come_from_a_file_or_from_the_store_that_is_there() {
    let keys = |text: &str| parse(&format!("{text}\n{LEAST}")).unwrap().resumption.tickets;
    let file = keys("resumption.ticket_keys = 'file:tickets.keys'");
    assert_eq!(file.keys, TicketKeySource::File("/etc/portunus/tickets.keys".into()));
    let through = keys(
        "resumption = { ticket_keys = 'shared', ticket_rotation = '10m', \
         shared = { url = 'file:s', sealing_key = 'file:k' } }",
    );
    let rotation = Duration::from_secs(600);
    assert_eq!(through, Tickets { rotation, keys: TicketKeySource::Shared });
}

#[test]
fn ticket_keys_that_lead_nowhere_are_faults() {
    check(
        "resumption.ticket_keys = 'shared'",
        &["1: resumption.ticket_keys: there is no `shared` store to share ticket keys through; \
           add `[resumption.shared]`, or name a file: `file:PATH`"],
    );
    check(
        "resumption.ticket_keys = 'c2VjcmV0c2VjcmV0'",
        &["1: resumption.ticket_keys: keys stand in files, not here; expected `file:PATH` or \
           `shared`; or leave it out"],
    );
    check(
        "resumption.ticket_keys = 'file:'",
        &["1: resumption.ticket_keys: not a path: it is empty, has a NUL, or is too long for a \
           socket (107 bytes)"],
    );
    for rotation in ["599s", "8d", "0s"] {
        check(
            &format!("resumption.ticket_rotation = '{rotation}'"),
            &["1: resumption.ticket_rotation: out of range: expected 10m to 7d"],
        );
    }
    // One fault, one error: the store is there, and what is wrong with it has been said.
    check(
        "resumption = { ticket_keys = 'shared', shared = 1 }",
        &["1: resumption.shared: expected a section, found a number"],
    );
}

#[test]
fn a_store_without_address_or_sealing_key_is_a_fault_and_so_is_every_other_address() {
    let no_key = "resumption.shared.sealing_key: missing; make one with `openssl rand -base64 32 \
                  > PATH`, the same for all, and name it `file:PATH`";
    check("[resumption.shared]\nurl = 'redis://h'", &[&format!("1: {no_key}")]);
    check("[resumption.shared]\nsealing_key = 'file:k'", &["1: resumption.shared.url: missing"]);
    check(
        "[resumption.shared]\nurl = 'redis://h'\nsealing_key = 'c2VjcmV0c2VjcmV0'",
        &["3: resumption.shared.sealing_key: keys stand in files, not here; put the key into a \
           file: `\"file:PATH\"`"],
    );
    for url in
        ["memcached://h", "redis:h", "redis://", "h:6379", "", "http://redis://h", "redis+tls://h"]
    {
        check(
            &format!("[resumption.shared]\nsealing_key = 'file:k'\nurl = '{url}'"),
            &["3: resumption.shared.url: not the address of a store; expected `redis://…`, \
               `rediss://…`, `redis+unix://…`, `redis+sentinel://…`, `redis+cluster://…` or \
               `file:PATH`"],
        );
    }
    check(
        "[resumption.shared]\nsealing_key = 'file:k'\nurl = 'file:'",
        &["3: resumption.shared.url: not a path: it is empty, has a NUL, or is too long for a \
           socket (107 bytes)"],
    );
}

#[test]
fn every_fault_of_a_store_is_found_in_one_run() {
    check(
        "[resumption.shared]\nsealing_key = 'file:k'\nurl = 'file:s'\nca = 'ca.pem'\n\
         prefix = 'x'\ntimeout = '21ms'\nqueue = 0\nin_flight = 0\nsize = '1 B'\ntimeouts = '1h'",
        &[
            "4: resumption.shared.ca: only a store at `rediss://…` has it; leave it out",
            "5: resumption.shared.prefix: only a store at `redis://…` has it; leave it out",
            "6: resumption.shared.timeout: out of range: expected 1ms to 20ms",
            "7: resumption.shared.queue: out of range: expected 1 to 1048576",
            "8: resumption.shared.in_flight: out of range: expected 1 to 65536",
            "9: resumption.shared.size: out of range: expected 1 MiB to 1024 GiB",
            "10: resumption.shared.timeouts: unknown key; did you mean `timeout`?",
        ],
    );
    check(
        "[resumption.shared]\nsealing_key = 'file:k'\nurl = 'redis://h'\nsize = '1 MiB'\n\
         prefix = '{all}'",
        &[
            "4: resumption.shared.size: only a store at `file:PATH` has it; leave it out",
            "5: resumption.shared.prefix: not a name: expected 1 to 64 of the characters a-z, \
             0-9, `-` and `_`; as in `prefix = \"portunus\"`",
        ],
    );
}

#[test]
fn clients_are_verified_again_only_where_they_can_resume() {
    let listener = |modes: &str, auth: &str| {
        format!(
            "resumption.mode = 'off'\n[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n{modes}\n\
             client_auth = {{ ca = 'ca.pem', resumption = '{auth}' }}\n{LEAST}"
        )
    };
    for mode in ["stateful", "tickets", "both"] {
        let text = listener(&format!("resumption = '{mode}'"), "revalidate");
        let auth = parse(&text).unwrap().client_auths.remove(0);
        assert_eq!(auth.resumption, ClientResumption::Revalidate);
    }
    assert_eq!(parse(&listener("", "off")).unwrap().client_auths.len(), 1);
    let line = "config.toml:6: listener.a.client_auth.resumption: there is nothing to verify \
                again: `resumption` is off for this listener; leave it out, or set `resumption` \
                for the listener";
    for mode in ["", "resumption = 'off'"] {
        let errors = parse(&listener(mode, "revalidate")).unwrap_err();
        assert_eq!(errors.to_string(), line);
    }
    let site = "[[listener.a.site]]\nhosts = ['a.example']\nbackend = 'app'\n\
                client_auth = { ca = 'ca.pem', resumption = 'revalidate' }";
    let text = format!("[listener.a]\nlisten = ['[::]:1']\nresumption = 'off'\n{site}\n{LEAST}");
    let errors = parse(&text).unwrap_err().to_string();
    assert!(errors.starts_with("config.toml:7: listener.a.site[0].client_auth.resumption: "));
}

#[test]
fn a_password_in_the_address_of_a_store_is_never_shown() {
    let shown = |text: &str| match parse(&shared(text)) {
        Ok(config) => format!("{config:?} {config:#?}"),
        Err(errors) => format!("{errors} {errors:?}"),
    };
    for text in [
        "url = 'redis://:a-very-good-secret@h'",
        "url = 'redis://:${ADMIN_TOKEN}@h'",
        "url = 'secret://h'",
        "url = 'secret'",
        "url = '${ADMIN_TOKEN}'",
        "url = ['redis://:secret@h']",
        "url = 'redis://:secret@h'\nsize = '1 MiB'",
        "url = 'redis://:secret@h'\nca = 'x'\nprefix = ''\ntimeout = '1h'",
        "url = 'redis://h'\n[resumption]\nticket_keys = 'secret'",
        "url = 'redis://h'\n[resumption]\nticket_keys = ['secret']",
        "url = 'redis://h'\nprefix = '${ADMIN_TOKEN}!'",
    ] {
        assert!(!shown(text).contains("secret"), "{text}: {}", shown(text));
    }
}

#[test]
fn the_reference_shows_the_defaults_of_a_shared_store() {
    let reference = include_str!("../../../../config.toml");
    let lines = reference.lines().filter_map(|line| line.strip_prefix("# shared."));
    let only_elsewhere = |line: &&str| line.starts_with("size") || line.starts_with("ca ");
    let shown: Vec<&str> = lines.filter(|line| !only_elsewhere(line)).collect();
    assert_eq!(shown.len(), 6);
    let url = shown.iter().find(|line| line.starts_with("url")).unwrap();
    let whole = format!("[resumption.shared]\n{}\n{LEAST}", shown.join("\n"));
    let short = format!("[resumption.shared]\n{url}\nsealing_key = 'file:sealing-keys'\n{LEAST}");
    let of = |text: &str| parse(text).unwrap().resumption.shared.unwrap();
    assert_eq!(of(&whole), of(&short));
    assert!(reference.contains("\n# shared.size = \"64 MiB\"\n"));
}
