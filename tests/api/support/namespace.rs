//! A network of a test's own, in which packets are really lost. A proxy cannot stand in for a dead network: its kernel acknowledges the
//! bytes that the proxy throws away.
//!
//! A test that needs it runs a second time, alone in a process in a network namespace, with a Postgres of its own on the namespace's
//! 127.0.0.1. There nftables drops packets, and names resolve to what the test says. The machine's own network and files are not touched, and
//! the namespaces end with the process.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// Set in the process that runs in the namespace.
const INSIDE: &str = "SCROLLBACK_TEST_IN_NAMESPACE";

/// Runs `body` in a namespace. `test` is the full name of the test that calls this, such as `network::a_dead_connection…`.
pub async fn in_a_namespace(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        return body.await;
    }
    // From here on there is no network to fetch a Postgres from, so it is found first.
    super::fresh_database().await;
    let output = tokio::process::Command::new("unshare")
        .args(env!("UNSHARE_OPTIONS").split(' '))
        .args(["sh", "-c", r#"PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "yes")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    // A name that fits no test would pass with 0 tests.
    assert!(output.status.success() && stdout.contains("1 passed"), "{test} in its namespace: {stdout}\n{stderr}");
}

/// From now on, every packet of the connections to `port` that are open now is lost, in both directions. New connections work.
pub fn lose_connections_to(port: u16) {
    let established = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let clients: BTreeSet<String> = established
        .lines()
        .skip(1)
        .filter_map(|line| {
            // A number, the local address, the remote one, and the state, all in hexadecimal. 01 is "established".
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port_of = |address: &str| u16::from_str_radix(address.split(':').nth(1).unwrap(), 16).unwrap();
            (fields[3] == "01" && port_of(fields[2]) == port).then(|| port_of(fields[1]).to_string())
        })
        .collect();
    assert!(!clients.is_empty(), "nobody is connected to port {port}");
    let clients = clients.into_iter().collect::<Vec<_>>().join(", ");
    lose(&format!("tcp dport {port} tcp sport {{ {clients} }}"));
    lose(&format!("tcp sport {port} tcp dport {{ {clients} }}"));
}

/// From now on, `localhost` is these addresses.
pub fn localhost_is(addresses: &[&str]) {
    assert!(std::env::var_os(INSIDE).is_some(), "outside of a namespace, this would change the machine's names");
    let hosts = std::env::temp_dir().join(format!("scrollback-hosts-{}", std::process::id()));
    let lines: Vec<_> = addresses.iter().map(|address| format!("{address} localhost")).collect();
    std::fs::write(&hosts, lines.join("\n")).unwrap();
    assert!(Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts").status().unwrap().success());
    // The mount keeps what it shows.
    std::fs::remove_file(hosts).unwrap();
}

/// From now on, every packet to `port` of this address is lost.
pub fn lose_everything_to_address(address: &str, port: u16) {
    lose(&format!("ip daddr {address} tcp dport {port}"));
}

/// From now on, every packet to and from `port` is lost.
pub fn lose_everything_to(port: u16) {
    lose(&format!("tcp dport {port}"));
    lose(&format!("tcp sport {port}"));
}

/// No packet is lost any more.
pub fn lose_nothing() {
    nft("flush table inet lost");
}

fn lose(packets: &str) {
    nft("add table inet lost");
    // Dropped where they arrive: the sender's kernel has sent them, and waits for an acknowledgement.
    nft("add chain inet lost input { type filter hook input priority 0; }");
    nft(&format!("add rule inet lost input {packets} drop"));
}

fn nft(command: &str) {
    assert!(std::env::var_os(INSIDE).is_some(), "outside of a namespace, this would change the machine's network");
    assert!(Command::new("nft").arg(command).status().unwrap().success(), "{command}");
}
