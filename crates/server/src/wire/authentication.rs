//! Proof of the password by SCRAM-SHA-256. The server keeps a verifier, not the password.

use pgwire::api::auth::sasl::SCRAM_SHA_256_METHOD;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, ScramServerAuth, gen_salted_password};
use pgwire::messages::startup::Authentication;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frontend::{Fields, MalformedMessage};
use super::input::Input;
use super::output::{Output, Report};
use super::startup::StartupError;

const SALT_BYTES: usize = 16;

/// What is kept of the password: enough to check a proof, not to make one.
pub struct Password {
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Password {
    pub fn new(password: &str) -> Self {
        let salt = rand::random::<[u8; SALT_BYTES]>().to_vec();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        match ScramSecret::verifier_from_salted_password(salt, salted, SCRAM_ITERATIONS) {
            ScramSecret::Verifier { salt, stored_key, server_key, .. } => Self { salt, stored_key, server_key },
            ScramSecret::SaltedPassword { .. } => unreachable!("a verifier was asked for"),
        }
    }

    fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: SCRAM_ITERATIONS,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }

    /// Lets the client prove that it knows the password.
    pub async fn prove<R, W>(
        &self,
        user: &str,
        input: &mut Input<R>,
        output: &mut Output<W>,
    ) -> Result<(), StartupError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let refused = || Report::new("28P01", format!("password authentication failed for user \"{user}\""));
        output.message(&Authentication::SASL(vec![SCRAM_SHA_256_METHOD.to_owned()]));
        output.flush().await?;

        let first = input.password_frame().await?;
        let (method, first) =
            initial_response(first.body).map_err(|error| Report::protocol_violation(error.to_string()))?;
        if method != SCRAM_SHA_256_METHOD {
            return Err(Report::protocol_violation("client selected an invalid SASL authentication mechanism").into());
        }
        let (server_first, waiting) = ScramServerAuth::new()
            .on_client_first_message_with_secret(first, self.secret())
            .map_err(|_| Report::protocol_violation("malformed SCRAM message"))?;
        output.message(&Authentication::SASLContinue(server_first.into()));
        output.flush().await?;

        let last = input.password_frame().await?;
        let server_final = waiting.on_client_final_message(last.body).map_err(|_| refused())?;
        output.message(&Authentication::SASLFinal(server_final.into()));
        Ok(())
    }
}

fn initial_response(body: &[u8]) -> Result<(&str, &[u8]), MalformedMessage> {
    let mut fields = Fields::new(body);
    let (method, response) = (fields.text()?, fields.value()?);
    fields.end()?;
    Ok((method, response.unwrap_or_default()))
}
