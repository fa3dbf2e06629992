//! A network that loses packets, without a word to anybody: the kernel notices, and the request is sent again on a new connection.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{AT_ONCE, IN_TIME, Scene, connecting, timed};
use crate::support::namespace::{
    in_a_namespace, localhost_is, lose_connections_to, lose_everything_to, lose_everything_to_address, lose_nothing,
};
use crate::support::proxy::Proxy;
use crate::support::{Answer, App, signal};

/// `tcp_user_timeout` in `shared/src/db.rs`, and as good as at once after that.
const NOTICED: Duration = Duration::from_secs(2);
const AFTER_NOTICE: Duration = Duration::from_secs(4);

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_connection_that_the_network_has_forgotten_is_replaced_in_time() {
    let test = async {
        let scene = Scene::behind(None).await;
        for frozen in [false, true] {
            if frozen {
                signal(scene.process(), "STOP");
            }
            lose_connections_to(scene.proxy.port());
            if frozen {
                signal(scene.process(), "CONT");
            }
            let took = scene.stores(AFTER_NOTICE).await;
            assert!(took + Duration::from_millis(500) > NOTICED, "{took:?}: the connection was not dead");
            assert_eq!(scene.cost(), json!({"statements": 2, "connects": 1}));
            scene.stores(AT_ONCE).await;
        }
        // A function with less time has enough of it, too: 3.5 s.
        lose_connections_to(scene.proxy.port());
        let (function, event) = scene.append().event();
        let answer = scene.app.function(function).invoke_within(Duration::from_secs(4), event.to_string()).await.unwrap();
        assert_eq!(Answer::read(&answer).status, 201, "{answer}");
    };
    in_a_namespace("network::a_connection_that_the_network_has_forgotten_is_replaced_in_time", test).await;
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_connection_that_is_lost_behind_its_statement_is_replaced_in_time() {
    let test = async {
        let scene = Scene::behind(None).await;
        let superuser = scene.app.superuser().await;
        superuser.batch_execute("begin; select from conversations for update").await.unwrap();
        let lose = async {
            // The server has acknowledged the statement, and waits for the lock: only keepalives can tell that it is gone.
            scene.runs(1).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            lose_connections_to(scene.proxy.port());
            superuser.batch_execute("commit").await.unwrap();
        };
        let (took, ()) = tokio::join!(scene.stores(AFTER_NOTICE), lose);
        assert!(took + Duration::from_millis(500) > NOTICED, "{took:?}: the connection was not dead");
        assert_eq!(scene.cost(), json!({"statements": 2, "connects": 1}));
        scene.stores(AT_ONCE).await;
    };
    in_a_namespace("network::a_connection_that_is_lost_behind_its_statement_is_replaced_in_time", test).await;
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_connection_that_is_lost_while_it_is_opened_is_replaced_in_time() {
    let test = async {
        let (app, proxy, function) = connecting().await;
        let process = function.process_ids()[0];
        signal(process, "STOP");
        lose_connections_to(proxy.port());
        signal(process, "CONT");
        let (answer, took) = timed(app.post("/conversations")).await;
        assert!(answer.status == 201 && took < AFTER_NOTICE, "{took:?} {}", answer.body);
    };
    in_a_namespace("network::a_connection_that_is_lost_while_it_is_opened_is_replaced_in_time", test).await;
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_dead_network_is_a_500_in_time_until_it_is_back() {
    let test = async {
        let scene = Scene::behind(None).await;
        lose_everything_to(scene.proxy.port());
        scene.refuses(IN_TIME).await;
        lose_nothing();
        scene.stores(AT_ONCE).await;
    };
    in_a_namespace("network::a_dead_network_is_a_500_in_time_until_it_is_back", test).await;
}

/// An app whose database's host has two addresses, in this order, and listens on one of them.
async fn on_two_addresses(listening: &str) -> (App, Proxy) {
    let (mut app, proxy) = (App::start().await, Proxy::start_on(listening).await);
    app.set("DATABASE_URL", &proxy.url(&app));
    localhost_is(&["127.0.0.1", "127.0.0.2"]);
    let addresses: Vec<_> =
        tokio::net::lookup_host(("localhost", proxy.port())).await.unwrap().map(|found| found.ip().to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1", "127.0.0.2"]);
    (app, proxy)
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_dead_address_of_the_host_costs_two_seconds() {
    let test = async {
        let (app, proxy) = on_two_addresses("127.0.0.2").await;
        lose_everything_to_address("127.0.0.1", proxy.port());
        let (answer, took) = timed(app.post("/conversations")).await;
        assert!(answer.status == 201 && took < AFTER_NOTICE, "{took:?} {}", answer.body);
        // A function with less time has enough of it, too: 2.5 s.
        let (function, event) = app.get("/users/ada/conversations").event();
        let answer = app.function(function).invoke_within(Duration::from_secs(3), event.to_string()).await.unwrap();
        assert_eq!(Answer::read(&answer).status, 200, "{answer}");
    };
    in_a_namespace("network::a_dead_address_of_the_host_costs_two_seconds", test).await;
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_refusal_is_not_repeated_on_the_hosts_other_addresses_and_is_what_the_log_says() {
    let test = async {
        // The second address is refused, as an IPv6 address is on a host that has IPv4 only.
        let (app, proxy) = on_two_addresses("127.0.0.1").await;
        app.post("/conversations").expect(201).await;
        proxy.refuse_logins(|| Some("password authentication failed for user 'scrollback_functions'"));
        proxy.reset_all();
        let (answer, took) = timed(app.post("/conversations")).await;
        assert!(answer.status == 500 && took < AT_ONCE, "{took:?} {}", answer.body);
        let log = app.function("get-or-create-conversation").log();
        let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
        assert!(line["cause"].as_str().unwrap().contains("password authentication failed"), "{line}");
        assert_eq!(proxy.refusals(), 1, "{log}");
    };
    in_a_namespace("network::a_refusal_is_not_repeated_on_the_hosts_other_addresses_and_is_what_the_log_says", test).await;
}

#[tokio::test]
#[cfg_attr(not(has_namespaces), ignore = "needs Linux, unshare, iproute2, nftables, and the right to make a network namespace")]
async fn a_migration_says_which_host_does_not_answer() {
    let test = async {
        let (app, proxy) = (App::start().await, Proxy::start().await);
        lose_everything_to_address("127.0.0.1", proxy.port());
        let started = std::time::Instant::now();
        let error = format!("{:#}", migrate::database::connect(&proxy.url(&app), None).await.err().unwrap());
        assert!(error.contains(&format!("localhost does not answer on port {}. Check host and port", proxy.port())), "{error}");
        assert!(error.ends_with("timed out") && started.elapsed() < AFTER_NOTICE, "{:?} {error}", started.elapsed());
    };
    in_a_namespace("network::a_migration_says_which_host_does_not_answer", test).await;
}
