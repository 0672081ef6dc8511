//! The reference at the root and the JSON schema, both compared with what the program knows.

use serde_json::Value as Json;

use super::*;

const REFERENCE: &str = include_str!("../../../../config.toml");

#[test]
fn the_reference_equals_the_defaults() {
    let reference = parse(REFERENCE).unwrap();
    let least = parse(LEAST).unwrap();
    assert_eq!(format!("{reference:#?}"), format!("{least:#?}"));
}

#[test]
fn the_reference_shows_every_key() {
    let reference: toml::Table = REFERENCE.parse().unwrap();
    let written = serde_json::to_value(&reference).unwrap();
    let mut missing = Vec::new();
    compare(&json_schema(), Some(&written), "", &mut missing);
    assert!(missing.is_empty(), "config.toml does not show {missing:?} with their defaults");
}

/// Names the keys of `schema` that `written` does not have. Those without a default may stand in a
/// comment, and all of a section that is not written at all.
fn compare(schema: &Json, written: Option<&Json>, path: &str, missing: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let named = &schema["additionalProperties"];
        let value = written.and_then(|written| written.get(name));
        match (value, schema["properties"].as_object()) {
            (None, _) if written.is_some() && schema.get("default").is_some() => missing.push(path),
            // A section that may be absent is shown as `section.key`, or in braces.
            (None, Some(keys)) if !is_shown(name) => {
                let keys = keys.keys().map(|key| format!("{name}.{key}"));
                missing.extend(keys.filter(|key| !is_shown(key)));
            }
            (None, None) if !is_shown(name) => missing.push(path),
            (None, _) => {}
            (Some(value), _) if named.is_object() => {
                for (_, value) in value.as_object().into_iter().flatten() {
                    compare(named, Some(value), &path, missing);
                }
            }
            (Some(value), _) => compare(schema, Some(value), &path, missing),
        }
        for form in schema["anyOf"].as_array().into_iter().flatten() {
            compare(form, value, &format!("{name}|"), missing);
        }
        compare(&schema["items"], None, &format!("{name}[]"), missing);
        for form in schema["items"]["anyOf"].as_array().into_iter().flatten() {
            compare(form, None, &format!("{name}[]"), missing);
        }
    }
}

/// Whether a line of the reference has `key`, in a comment or not, alone or in braces.
fn is_shown(key: &str) -> bool {
    let assigned = format!("{key} = ");
    REFERENCE.lines().any(|line| {
        let line = line.trim_start_matches('#').trim_start();
        let in_braces = line.contains(&format!("{{ {assigned}"))
            || line.contains('{') && line.contains(&format!(", {assigned}"));
        line.starts_with(&assigned) || in_braces || line.ends_with(&format!(".{key}]]"))
    })
}

/// The lines of the reference that are comments of keys beginning with `prefix`.
fn commented(prefix: &str) -> Vec<&'static str> {
    let lines = REFERENCE.lines().filter_map(|line| line.strip_prefix("# "));
    lines.filter(|line| line.starts_with(prefix)).collect()
}

#[test]
fn backends_read_as_the_reference_shows_them_and_with_the_defaults_that_it_names() {
    let parsed = |lines: &[&str]| {
        let marker = "# health.path";
        let text = REFERENCE.replacen(marker, &format!("{}\n{marker}", lines.join("\n")), 1);
        parse(&text).unwrap().backends.remove(0)
    };
    let health = commented("health.");
    assert_eq!(health.len(), 7);
    let needed = |line: &&str| line.starts_with("health.path") || line.starts_with("health.host");
    let short: Vec<&str> = health.iter().copied().filter(needed).collect();
    assert!(parsed(&health).health.is_some());
    assert_eq!(parsed(&health).health, parsed(&short).health);
    let of_bytes = |line: &&str| line.starts_with("tls.alpn") || line.starts_with("tls.starttls");
    let of_both: Vec<&str> = commented("tls.").into_iter().filter(|line| !of_bytes(line)).collect();
    let tls = parsed(&of_both).tls.unwrap();
    assert!(tls.ca.is_some() && tls.server_name.is_some() && tls.credential.is_some());
    assert_eq!(tls.crls.len(), 1);
    assert_eq!(parsed(&commented("allow = ")).resolve.allow.len(), 2);
    let tables = REFERENCE.replace("[\"127.0.0.1:3000\"]", "[{ address = \"127.0.0.1:3000\" }]");
    let shown = REFERENCE.lines().find_map(|line| line.strip_prefix("#     { address"));
    let shown = format!("[{{ address{}]", shown.unwrap().replace("10.0.0.7", "127.0.0.1"));
    let whole = REFERENCE.replace("[\"127.0.0.1:3000\"]", &shown);
    let endpoints = |text: &str| parse(text).unwrap().backends.remove(0).endpoints;
    assert_eq!(endpoints(&tables), endpoints(&whole));
    assert_eq!(endpoints(&tables), endpoints(REFERENCE));
}

#[test]
fn routes_read_as_the_reference_shows_them_and_with_the_defaults_that_it_names() {
    let routes = |lines: &[&str]| {
        let lines = lines.join("\n");
        let text = format!("{LEAST}[[listener.https.routes]]\npath = '/api/'\n{lines}\n");
        match parse(&text).unwrap().listeners.remove(0).sites {
            Sites::Any(behind) => format!("{:#?}", behind.routes),
            Sites::Named(_) => unreachable!(),
        }
    };
    let at = REFERENCE.find("# [[listener.https.routes]]").unwrap();
    let block: Vec<&str> = REFERENCE[at..].lines().take_while(|line| !line.is_empty()).collect();
    let line = |key: &str| {
        let start = format!("# {key} = ");
        let found = block.iter().find(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("no line {start}")).trim_start_matches("# ").to_owned()
    };
    let [exact, strip, trailers] = ["exact", "strip", "trailers"].map(line);
    let (backend, replace) = (line("backend"), line("replace"));
    let plain = routes(&[&backend]);
    assert_eq!(plain, routes(&[&backend, &exact, &strip, &trailers]));
    assert_ne!(plain, routes(&[&backend, &replace]));
    let short = ["redirect = { to = 'https://www.example.com{path}' }", "respond = {}"];
    for (short, key) in short.iter().zip(["redirect", "respond"]) {
        assert_eq!(routes(&[short]), routes(&[&line(key)]));
    }
    let others = ["request_headers", "response_headers", "max_body", "response_head_timeout"];
    for key in others.into_iter().chain(["response_body_timeout", "request_body_timeout"]) {
        assert_ne!(plain, routes(&[&backend, &line(key)]), "{key}");
    }
}

#[test]
fn what_a_listener_can_have_reads_as_the_reference_shows_it() {
    let http = |lines: &[&str]| {
        let text = LEAST.replace("[backend", &format!("{}\n[backend", lines.join("\n")));
        parse(&text).unwrap().listeners.remove(0)
    };
    let redirect = commented("redirect_http.");
    assert_eq!(redirect.len(), 3);
    let least: Vec<&str> =
        redirect.iter().copied().filter(|line| !line.contains(".port")).collect();
    assert_eq!(http(&redirect).http.redirect, http(&least).http.redirect);
    assert_eq!(http(&redirect).http.redirect.unwrap().port, 443);
    assert_eq!(http(&commented("trusted_peers")).http.trusted_peers.len(), 2);
    match http(&commented("hsts")).sites {
        Sites::Any(behind) => assert!(behind.hsts.is_some()),
        Sites::Named(_) => unreachable!(),
    }
    let line = commented("nameservers").join("\n");
    let servers = parse(&format!("resolver.{line}\n{LEAST}")).unwrap().nameservers;
    assert_eq!(servers, ["10.0.0.2:53".parse().unwrap(), "[2001:db8::2]:5353".parse().unwrap()]);
}

#[test]
fn what_only_bytes_have_reads_as_the_reference_shows_it_and_with_the_defaults_that_it_names() {
    let lines = |keys: &[&str]| keys.iter().flat_map(|key| commented(key)).collect::<Vec<_>>();
    let parsed = |listener: &[&str], backend: &[&str]| {
        let text = format!(
            "[listener.a]\nlisten = ['[::]:1', 'unix:s']\nmode = 'tcp'\n{}\n\
             [backend.app]\nendpoints = ['h:1']\n{}\n",
            listener.join("\n"),
            backend.join("\n")
        );
        parse(&text).unwrap()
    };
    let before = lines(&["proxy_protocol", "starttls = ", "greeting_name", "tls = { alpn"]);
    assert_eq!(before.len(), 4);
    let site = lines(&["[[listener.https.site]]", "hosts = [\"app", "alpn = ", "passthrough = "]);
    let site: Vec<String> = site.iter().map(|line| line.replace(".https.", ".a.")).collect();
    let site: Vec<&str> = site.iter().map(String::as_str).chain(["backend = 'app'"]).collect();
    assert_eq!(site.len(), 5);
    let config = parsed(&[before.as_slice(), &site].concat(), &lines(&["send_proxy", "tls."]));
    let listener = &config.listeners[0];
    assert!(listener.proxy_protocol.is_some() && listener.starttls.is_some());
    let Sites::Named(sites) = &listener.sites else { unreachable!() };
    assert_eq!((sites[0].alpn.len(), sites[0].termination), (1, Termination::Here));
    let tls = config.backends[0].tls.clone().unwrap();
    assert!(tls.starttls.is_some() && !tls.alpn.is_empty());
    let said = lines(&["send_proxy", "proxy_tlvs"]);
    let said = parsed(&["backend = 'app'"], &said).backends.remove(0).send_proxy;
    assert_eq!(said, config.backends[0].send_proxy);
}

#[test]
fn client_authentication_reads_as_the_reference_shows_it_and_with_the_defaults_that_it_names() {
    let shown = REFERENCE.lines().filter_map(|line| line.strip_prefix("# client_auth."));
    let shown: Vec<String> = shown.map(|line| format!("client_auth.{line}")).collect();
    assert_eq!(shown.len(), 6);
    let marker = "# client_auth.ca";
    let parsed = parse(&REFERENCE.replacen(marker, &format!("{}\n{marker}", shown.join("\n")), 1));
    let whole = parsed.unwrap().client_auths;
    let short = shown.iter().filter(|line| line.contains("ca = ") || line.contains("crl = "));
    let short = short.cloned().collect::<Vec<_>>().join("\n");
    let parsed = parse(&REFERENCE.replacen(marker, &format!("{short}\n{marker}"), 1));
    assert_eq!(parsed.unwrap().client_auths, whole);
}

#[test]
fn the_json_schema_at_the_root_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.schema.json");
    let fresh = format!("{:#}\n", json_schema());
    if std::env::var_os("PORTUNUS_TEST_WRITE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == fresh, "run this test with PORTUNUS_TEST_WRITE=1 to renew {path}");
}

#[test]
fn the_json_schema_says_what_the_reader_does() {
    let schema = json_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["listener", "backend"]));
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!(limits["handshake_timeout"]["default"], "10s");
    assert_eq!(limits["client_hello_size"]["default"], "16 KiB");
    assert_eq!(limits["connect_attempts"]["maximum"], 64);
    assert_eq!(limits["http"]["properties"]["requests"]["default"], 1_000);
    let listener = &schema["properties"]["listener"]["additionalProperties"];
    assert_eq!(listener["required"], serde_json::json!(["listen"]));
    assert_eq!(listener["properties"]["mode"]["anyOf"][0]["enum"][1], "tcp");
    assert_eq!(listener["properties"]["site"]["items"]["required"], serde_json::json!(["hosts"]));
    let route = &listener["properties"]["routes"]["items"];
    assert_eq!(route["required"], serde_json::json!(["path"]));
    let starttls = listener["properties"]["starttls"]["anyOf"][0]["enum"].as_array().unwrap();
    assert!(starttls.contains(&"xmpp".into()) && !starttls.contains(&"ftp".into()));
    let backend = &schema["properties"]["backend"]["additionalProperties"]["properties"];
    assert_eq!(backend["proxy_tlvs"]["items"]["anyOf"][0]["enum"][4], "client-cert");
    assert_eq!(backend["protocol"]["default"], "http1");
    assert_eq!(backend["endpoints"]["items"]["anyOf"][1]["properties"]["weight"]["maximum"], 256);
    assert_eq!(backend["ejection"]["anyOf"][0]["enum"][0], "off");
    let paths = &schema["properties"]["certificates"]["properties"]["paths"];
    assert_eq!(paths["default"], serde_json::json!(["certs.d"]));
    assert_eq!(schema["properties"]["admin"]["properties"]["token"].get("default"), None);
}
