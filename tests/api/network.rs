//! A network that loses packets, without a word to anybody: the kernel notices, and the request is sent again on a new connection.

use std::time::Duration;

use serde_json::json;

use crate::faults::{AT_ONCE, IN_TIME, Scene, connecting, timed};
use crate::support::namespace::{in_a_namespace, lose_connections_to, lose_everything_to, lose_nothing};
use crate::support::{Answer, signal};

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
