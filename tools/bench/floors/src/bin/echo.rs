//! The least that a function can be: it knows no database. It answers with as many bytes as the header `bytes` says, or else with what it was
//! sent.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |request: Request| {
        let bytes = request.headers().get("bytes").and_then(|bytes| bytes.to_str().ok()?.parse().ok());
        let body = bytes.map_or_else(|| request.into_body(), |bytes| Body::Text("x".repeat(bytes)));
        Ok::<_, Error>(Response::new(body))
    }))
    .await
}
