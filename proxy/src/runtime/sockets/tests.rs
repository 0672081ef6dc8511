//! Where sockets come from, and who has them when.

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::*;

fn config(listen: &str) -> Config {
    let text = format!(
        "admin.listen = 'off'\n[listener.web]\nlisten = {listen}\nbackend = 'b'\nmode = 'tcp'\n\
         [backend.b]\nendpoints = ['h:1']\n"
    );
    Config::parse(&text, "config.toml", Path::new("/nowhere")).unwrap()
}

fn taken(sockets: &Sockets, config: &Config) -> Vec<ListenAddr> {
    let keepalive = &config.limits.keepalive;
    let mut taken = Vec::new();
    for addr in &config.listeners[0].addresses {
        let sockets = sockets.take("web", addr, keepalive).unwrap();
        taken.extend(sockets.iter().map(|socket| socket.addr().clone()));
    }
    taken
}

fn name(owner: &str, configured: &str) -> SocketName {
    SocketName { owner: owner.to_owned(), configured: configured.to_owned() }
}

#[test]
fn all_sockets_of_one_name_are_served_on_and_those_of_others_kept_for_later() {
    let [one, two, other] = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [a, b, c] = [&one, &two, &other].map(|it| ListenAddr::Tcp(it.local_addr().unwrap()));
    let spare = vec![
        Spare::given("web", one.into()),
        Spare::given("other", other.into()),
        Spare::given("web", two.into()),
    ];
    let first = config("['fd:web']");
    let sockets = Sockets::open(&first, spare).unwrap();
    assert_eq!(taken(&sockets, &first), [a, b]);
    assert_eq!(taken(&sockets, &config("['fd:other']")), [c]);
    let missing = Sockets::open(&config("['fd:none']"), Vec::new()).unwrap_err();
    assert!(missing.hint().unwrap().contains("FileDescriptorName="), "{missing:?}");
}

#[test]
fn what_a_supervisor_gave_can_be_asked_for_again_when_nobody_serves_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let inherited = Spare::inherited(name("web", "fd:unix"), unix.into(), 0).unwrap();
    let first = config("['fd:tcp', 'fd:unix']");
    let spare = vec![Spare::given("tcp", tcp.into()), inherited];
    let sockets = Sockets::open(&first, spare).unwrap();
    for _ in 0..3 {
        assert_eq!(sockets.held().len(), 2);
        let keepalive = &first.limits.keepalive;
        let [tcp, unix] = ["tcp", "unix"].map(|it| ListenAddr::Given(it.into()));
        let served = [&tcp, &unix].map(|addr| sockets.take("web", addr, keepalive).unwrap());
        sockets.take("other", &tcp, keepalive).expect_err("it is served on");
        // Whoever asked gives it up, since something else was wrong.
        drop(served);
        assert!(sockets.held().is_empty());
        assert!(path.exists());
        std::net::TcpStream::connect(addr).unwrap();
        sockets.prepare("web", &tcp, keepalive).unwrap();
        sockets.prepare("web", &unix, keepalive).unwrap();
    }
    assert_eq!(sockets.taken(), [0]);
}

#[test]
fn a_socket_of_the_process_before_is_found_by_where_it_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let [tcp, chosen] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (tcp_addr, chosen_addr) = (tcp.local_addr().unwrap(), chosen.local_addr().unwrap());
    let unix = UnixListener::bind(&path).unwrap();
    let left = TcpListener::bind("127.0.0.1:0").unwrap();
    let spare = vec![
        Spare::inherited(name("web", "127.0.0.1:1"), left.into(), 0).unwrap(),
        Spare::inherited(name("before", &tcp_addr.to_string()), tcp.into(), 1).unwrap(),
        Spare::inherited(name("web", "127.0.0.1:0"), chosen.into(), 2).unwrap(),
        Spare::inherited(name("web", "unix:x"), unix.into(), 3).unwrap(),
    ];
    let listen = format!("['127.0.0.1:0', 'unix:{}', '{tcp_addr}']", path.display());
    let config = config(&listen);
    let sockets = Sockets::open(&config, spare).unwrap();
    assert_eq!(sockets.taken(), [2, 3, 1]);
    let wanted = [ListenAddr::Tcp(chosen_addr), ListenAddr::Unix(path), ListenAddr::Tcp(tcp_addr)];
    let held = sockets.held();
    assert_eq!(held.len(), 3);
    assert_eq!(taken(&sockets, &config), wanted);
    drop(held);
    assert!(sockets.held().is_empty(), "who has taken them has dropped them");
}

#[test]
fn the_file_of_a_socket_that_a_supervisor_opened_stays_through_every_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut descriptor = OwnedFd::from(UnixListener::bind(&path).unwrap());
    let mut spare = |name: &SocketName| {
        let copy = descriptor.try_clone().unwrap();
        Spare::inherited(name.clone(), std::mem::replace(&mut descriptor, copy), 0).unwrap()
    };
    let config = config(&format!("['unix:{}']", path.display()));
    let mut known_as = name("", "fd:web");
    for _ in 0..3 {
        let sockets = Sockets::open(&config, vec![spare(&known_as)]).unwrap();
        known_as = sockets.held().pop().unwrap().0;
        drop(sockets);
        assert!(path.exists(), "{known_as:?}");
    }
}

#[test]
fn what_a_supervisor_gave_can_be_asked_for_after_every_upgrade_used_or_not() {
    let [one, two] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let bound = two.local_addr().unwrap();
    let mut spare = vec![Spare::given("one", one.into()), Spare::given("two", two.into())];
    // Nobody, one by its name, both, one by its address, and both again.
    let listens = ["['127.0.0.1:0']", "['fd:two']", "['fd:one', 'fd:two']"].map(str::to_owned);
    let by_address = [format!("['{bound}']"), "['fd:one', 'fd:two']".to_owned()];
    for listen in listens.iter().chain(&by_address) {
        let sockets = Sockets::open(&config(listen), spare).unwrap();
        let held = sockets.held().into_iter();
        let held = held.map(|(name, hold)| (name, hold.descriptor().try_clone_to_owned().unwrap()));
        let all: Vec<_> = held.chain(sockets.unused().unwrap()).collect();
        let given = all.iter().filter(|(name, _)| name.configured.starts_with("fd:"));
        assert_eq!(given.count(), 2, "{listen}: {all:?}");
        let inherited = (0..).zip(all);
        spare = inherited
            .map(|(place, (name, socket))| Spare::inherited(name, socket, place).unwrap())
            .collect();
    }
}

#[test]
fn the_file_of_a_unix_socket_is_that_of_the_process_before_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let before = UnixListener::bind(&path).unwrap();
    let config = config(&format!("['unix:{}']", path.display()));
    let open = || {
        let copy = before.try_clone().unwrap().into();
        let spare = Spare::inherited(name("web", "unix:x"), copy, 0).unwrap();
        Sockets::open(&config, vec![spare]).unwrap()
    };
    drop(open());
    UnixStream::connect(&path).expect("who fails leaves the file to the process before");
    let sockets = open();
    sockets.take_files();
    drop(sockets);
    assert!(!path.exists(), "the file of our own goes with the socket");
}

#[test]
fn an_address_that_overlaps_with_one_of_our_own_is_bound_beside_it() {
    let keepalive = config("['127.0.0.1:0']").limits.keepalive;
    let at = |ip: &str, port: u16| ListenAddr::Tcp(format!("{ip}:{port}").parse().unwrap());
    for (one, other) in [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "[::]")] {
        let sockets = Sockets::open(&config(&format!("['{one}:0']")), Vec::new()).unwrap();
        let first = sockets.take("web", &at(one, 0), &keepalive).unwrap();
        let ListenAddr::Tcp(bound) = first[0].addr() else { panic!("{first:?}") };
        let (wanted, port) = (at(other, bound.port()), bound.port());
        sockets.take("web", &at(one, port), &keepalive).expect_err("it is the same");
        let second = sockets.take("web", &wanted, &keepalive).unwrap();
        let refused = OpenSocket::bind(&wanted, &keepalive).unwrap_err();
        assert!(refused.is_in_use(), "another process gets neither: {refused:?}");
        drop(first);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(second);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = at("0.0.0.0", other.local_addr().unwrap().port());
    let sockets = Sockets::open(&config("['127.0.0.1:0']"), Vec::new()).unwrap();
    sockets.take("web", &taken, &keepalive).expect_err("that is somebody else's");
}
