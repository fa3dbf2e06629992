//! `DELETE /users/{user_id}`

use serde_json::json;

use crate::support::App;

#[tokio::test]
async fn everything_about_a_user_is_erased_and_nothing_else() {
    let app = App::start().await;
    for user in ["ada", "bob"] {
        for _ in 0..3 {
            let made = app.post("/conversations?new=true").by(user).expect(201).await.json();
            let path = format!("/conversations/{}/messages", made["id"].as_str().unwrap());
            let messages = vec![json!({"role": "user", "content": "x"}); 4];
            app.post(&path).json(&json!({"messages": messages})).by(user).expect(201).await;
        }
    }
    app.post("/conversations?new=true").expect(201).await;
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 4, "messages": 12}));
    assert_eq!(app.delete("/users/ada").expect(200).await.json(), json!({"conversations": 0, "messages": 0}));
    assert_eq!(app.get("/users/ada/conversations").expect(200).await.body, "[]");
    assert_eq!(app.get("/users/ada/search?q=x").expect(200).await.body, "[]");
    assert_eq!(app.delete("/users/bob").by("bob").expect(200).await.json(), json!({"conversations": 3, "messages": 12}));
    assert!(app.rows().await.values().all(|rows| *rows == 0), "no row in any table: {:?}", app.rows().await);
}

#[tokio::test]
async fn a_user_of_every_kind_can_be_erased() {
    let app = App::start().await;
    app.post("/conversations").by("auth0|6f 100%/Zoë").expect(201).await;
    let erased = app.delete("/users/auth0%7C6f%20100%25%2FZo%C3%AB").by("auth0|6f 100%/Zoë").expect(200).await;
    assert_eq!(erased.json()["conversations"], 1);
}

#[tokio::test]
async fn nobody_and_other_users_are_turned_away() {
    let app = App::start().await;
    app.conversation().await;
    app.delete("/users/ada").by("bob").refused(403, "forbidden", None).await;
    app.delete("/users/ada").by_nobody().refused(401, "unauthenticated", None).await;
    app.delete("/users/a%0Ab").by_service().refused(400, "invalid_character", "user_id").await;
    app.delete("/users/ada").json(&json!({"sure": true})).refused(400, "invalid_parameter", "sure").await;
    assert_eq!(app.delete("/users/ada").by_service().expect(200).await.json()["conversations"], 1);
}
