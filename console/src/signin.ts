/** Signing in at an OpenID provider, with an authorization code and PKCE, where the page was deployed with one. */
import {
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  AuthorizationResponseError,
  calculatePKCECodeChallenge,
  discoveryRequest,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
  getValidatedIdTokenClaims,
  JWT_TIMESTAMP_CHECK,
  None,
  OperationProcessingError,
  processAuthorizationCodeResponse,
  processDiscoveryResponse,
  processRefreshTokenResponse,
  refreshTokenGrantRequest,
  ResponseBodyError,
  validateAuthResponse,
  type AuthorizationServer,
  type TokenEndpointResponse,
} from "oauth4webapi";

export interface Configuration {
  api: string;
  issuer: string;
  client_id: string;
  scope: string;
  /** What Auth0 and others want to be asked for a token of this API. */
  audience?: string;
  /** Cognito's own way to sign out, which its discovery document does not name. */
  sign_out?: string;
}

/** What console/deploy has written into the page. Without it, the page belongs to `cargo dev`. */
export const configuration: Configuration | undefined = (() => {
  const written = document.querySelector<HTMLMetaElement>('meta[name="scrollback"]')?.content;
  return written === undefined ? undefined : (JSON.parse(written) as Configuration);
})();

interface Session {
  token: string;
  expires: number;
  refresh?: string | undefined;
  id?: string | undefined;
}

interface Attempt {
  state: string;
  nonce: string;
  verifier: string;
  search: string;
}

// A tab's own storage: a reload needs no new sign-in, and closing the tab forgets the tokens.
const stored = (name: string): unknown => {
  const text = sessionStorage.getItem(`scrollback.${name}`);
  return text === null ? undefined : JSON.parse(text);
};
const store = (name: string, value: unknown) => sessionStorage.setItem(`scrollback.${name}`, JSON.stringify(value));
const forget = (name: string) => sessionStorage.removeItem(`scrollback.${name}`);

const session = () => stored("session") as Session | undefined;

const redirect = () => location.origin + import.meta.env.BASE_URL;
const http = (url: string) => ({ [allowInsecureRequests]: new URL(url).hostname === "127.0.0.1" });

/** A failure, in words for the person who wants to sign in. */
export class SignInError extends Error {}

let found: Promise<AuthorizationServer> | undefined;

function discover(config: Configuration): Promise<AuthorizationServer> {
  found ??= (async () => {
    const issuer = new URL(config.issuer);
    const response = await discoveryRequest(issuer, http(config.issuer));
    return await processDiscoveryResponse(issuer, response);
  })().catch((error: unknown) => {
    found = undefined;
    throw new SignInError(`The identity provider ${config.issuer} does not answer as one.`, { cause: error });
  });
  return found;
}

function keep(answer: TokenEndpointResponse, before?: Session): void {
  store("session", {
    token: answer.access_token,
    expires: Date.now() + (answer.expires_in ?? 300) * 1000,
    refresh: answer.refresh_token ?? before?.refresh,
    id: answer.id_token ?? before?.id,
  } satisfies Session);
}

export function isSignedIn(): boolean {
  return session() !== undefined;
}

/** Leaves the page for the provider's. The place that the URL names is kept. */
export async function signIn(config: Configuration): Promise<void> {
  const server = await discover(config);
  if (server.authorization_endpoint === undefined) throw new SignInError("The identity provider signs nobody in.");
  const attempt: Attempt = {
    state: generateRandomState(),
    nonce: generateRandomNonce(),
    verifier: generateRandomCodeVerifier(),
    search: location.search,
  };
  store("attempt", attempt);
  const url = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: "code",
    client_id: config.client_id,
    redirect_uri: redirect(),
    scope: config.scope,
    state: attempt.state,
    nonce: attempt.nonce,
    code_challenge: await calculatePKCECodeChallenge(attempt.verifier),
    code_challenge_method: "S256",
    ...(config.audience === undefined ? {} : { audience: config.audience }),
  }))
    url.searchParams.set(name, value);
  location.assign(url);
}

/** Ends a sign-in, if the provider has just sent the browser back, and restores the place that was asked for. */
export async function finish(config: Configuration): Promise<void> {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) return;
  const attempt = stored("attempt") as Attempt | undefined;
  forget("attempt");
  // A code works once. It must not stay in the history.
  history.replaceState(null, "", location.pathname + (attempt?.search ?? ""));
  if (attempt === undefined) throw new SignInError("This sign-in was begun in another tab, or has ended already.");
  try {
    const server = await discover(config);
    const client = { client_id: config.client_id };
    const valid = validateAuthResponse(server, client, answer, attempt.state);
    const response = await authorizationCodeGrantRequest(
      server,
      client,
      None(),
      valid,
      redirect(),
      attempt.verifier,
      http(config.issuer),
    );
    const tokens = await processAuthorizationCodeResponse(server, client, response, {
      expectedNonce: attempt.nonce,
      requireIdToken: true,
    });
    keep(tokens);
    // A token without a scope of its own sees its user alone, who is then shown first.
    const subject = getValidatedIdTokenClaims(tokens)?.sub;
    if (attempt.search === "" && config.scope === "openid" && subject !== undefined)
      history.replaceState(null, "", `${location.pathname}?${new URLSearchParams({ user: subject }).toString()}`);
  } catch (error) {
    throw new SignInError(why(error), { cause: error });
  }
}

function why(error: unknown): string {
  if (error instanceof SignInError) return error.message;
  if (error instanceof AuthorizationResponseError && error.error === "access_denied")
    return "The identity provider did not allow it, or the sign-in was cancelled there.";
  if (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError)
    return `The identity provider refused: ${error.error_description ?? error.error}.`;
  if (error instanceof OperationProcessingError && error.code === JWT_TIMESTAMP_CHECK)
    return "The clock of this computer and the identity provider's differ. Set this one, and try again.";
  if (error instanceof OperationProcessingError)
    return `The identity provider's answer does not belong to this sign-in: ${error.message}.`;
  return "The identity provider could not be reached.";
}

let refreshing: Promise<string | undefined> | undefined;

/** The current access token. One that is about to end is replaced first, if the provider gave a refresh token. */
export async function accessToken(config: Configuration): Promise<string | undefined> {
  const current = session();
  if (current?.refresh === undefined || current.expires - 60_000 > Date.now()) return current?.token;
  // A refresh token may work once, so requests share one refresh.
  refreshing ??= refresh(config, current, current.refresh).finally(() => (refreshing = undefined));
  return refreshing;
}

async function refresh(config: Configuration, before: Session, token: string): Promise<string> {
  const client = { client_id: config.client_id };
  try {
    const server = await discover(config);
    const response = await refreshTokenGrantRequest(server, client, None(), token, http(config.issuer));
    const tokens = await processRefreshTokenResponse(server, client, response);
    keep(tokens, before);
    return tokens.access_token;
  } catch {
    // The API refuses the old token when it has ended. The page then offers to sign in again.
    return before.token;
  }
}

/** Forgets the tokens, and ends the provider's own session if it can. */
export async function signOut(config: Configuration): Promise<void> {
  const id = session()?.id;
  forget("session");
  const back = redirect();
  if (config.sign_out !== undefined) {
    const fields = { client_id: config.client_id, logout_uri: back };
    location.assign(`${config.sign_out}?${new URLSearchParams(fields).toString()}`);
    return;
  }
  const server = await discover(config).catch(() => undefined);
  if (server?.end_session_endpoint === undefined) {
    location.assign(back);
    return;
  }
  const url = new URL(server.end_session_endpoint);
  url.searchParams.set("client_id", config.client_id);
  url.searchParams.set("post_logout_redirect_uri", back);
  if (id !== undefined) url.searchParams.set("id_token_hint", id);
  location.assign(url);
}
