//! The least that a function can be: it answers with what it was sent, and knows no database.

use lambda_http::{Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |request: Request| Ok::<_, Error>(Response::new(request.into_body())))).await
}
