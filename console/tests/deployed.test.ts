/** The console as it is deployed: built by console/deploy, with the template's headers, and a certified OpenID provider to sign in at. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { newId, ScrollbackClient } from "@scrollback/client";
import Provider from "oidc-provider";
import type { Browser, Page } from "playwright-core";
import { parse } from "yaml";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { launch, open, violations } from "./browser.js";

const api = inject("server");
const client = new ScrollbackClient(api);
const CONSOLE = fileURLToPath(new URL("..", import.meta.url));
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

let browser: Browser | undefined;
let page: Page;
let problems: string[];
let site: string;
let issuer: string;
let calls: string;
let policy: string;
/** Seconds for which an access token is good. */
let lifetime: number;
/** What the page is told. A test may change it. */
let told: Record<string, string>;
let isDown: boolean;
const servers: Server[] = [];
const directory = mkdtempSync(join(tmpdir(), "scrollback-console-"));

/** A server on 127.0.0.1, and its origin. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

/** Runs console/deploy, with an `aws` that notes its calls. It answers with the outputs of a stack. */
function deploy(outputs: Record<string, string>): string {
  const log = join(directory, "calls");
  writeFileSync(log, "");
  for (const [name, value] of Object.entries(outputs)) writeFileSync(join(directory, name), value);
  writeFileSync(
    join(directory, "aws"),
    `#!/usr/bin/env bash
echo "$*" >>'${log}'
[[ $1 == cloudformation ]] || exit 0
all=$*
name=\${all#*OutputKey==\\'}
cat "${directory}/\${name%%\\'*}" 2>/dev/null || echo None
`,
  );
  chmodSync(join(directory, "aws"), 0o755);
  const env = { ...process.env, PATH: `${directory}:${process.env["PATH"] ?? ""}` };
  execFileSync("bash", [join(CONSOLE, "deploy"), "chat"], { env, stdio: "pipe" });
  return readFileSync(log, "utf8");
}

interface Headers {
  Resources: { ConsoleHeaders: { Properties: { ResponseHeadersPolicyConfig: { SecurityHeadersConfig: Security } } } };
}
interface Security {
  ContentSecurityPolicy: { ContentSecurityPolicy: [string, unknown] };
}

/** The template's policy, as CloudFormation would fill it in. */
function templatePolicy(): string {
  const text = readFileSync(join(CONSOLE, "../template.yaml"), "utf8");
  const template = parse(text, { logLevel: "silent" }) as Headers;
  const security = template.Resources.ConsoleHeaders.Properties.ResponseHeadersPolicyConfig.SecurityHeadersConfig;
  const [written] = security.ContentSecurityPolicy.ContentSecurityPolicy;
  const filled = written
    .replace("https://*.execute-api.${AWS::Region}.${AWS::URLSuffix}", api)
    .replace("${Issuer}", issuer);
  expect(filled).not.toContain("${");
  return filled.trim();
}

beforeAll(async () => {
  let callback: RequestListener = () => undefined;
  issuer = await serve((request, response) => {
    if (isDown) response.destroy();
    else callback(request, response);
  });
  site = await serve((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://127.0.0.1");
    const name = pathname === "/" ? "/index.html" : pathname;
    response.setHeader("content-security-policy", policy);
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("referrer-policy", "no-referrer");
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("content-type", TYPES[extname(name)] ?? "text/plain");
    let file = readFileSync(join(CONSOLE, "dist/aws", name));
    if (name === "/index.html") {
      const change = (whole: string, written: string) =>
        whole.replace(
          written,
          JSON.stringify({ ...(JSON.parse(written.replaceAll("&quot;", '"')) as object), ...told }).replaceAll(
            '"',
            "&quot;",
          ),
        );
      file = Buffer.from(file.toString().replace(/name="scrollback" content="([^"]*)"/, change));
    }
    response.end(file);
  });
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "console",
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [`${site}/`],
        post_logout_redirect_uris: [`${site}/`],
      },
    ],
    clientBasedCORS: (_context, origin) => origin === site,
    cookies: { keys: ["for the tests alone"] },
    issueRefreshToken: () => true,
    ttl: { AccessToken: () => lifetime },
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://scrollback.example.com",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: "", audience: "scrollback", accessTokenFormat: "jwt" }),
      },
    },
  });
  const answer = provider.callback();
  callback = (request, response) => void answer(request, response);
  policy = templatePolicy();
  calls = deploy({
    ConsoleConfiguration: JSON.stringify({
      api,
      issuer,
      client_id: "console",
      scope: "openid",
      audience: "scrollback",
      connect: `${api} ${issuer}`,
    }),
    ConsoleBucketName: "the-bucket",
    ConsoleUrl: `${site}/`,
  });
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  [told, isDown, lifetime] = [{}, false, 3600];
  await start();
});
afterEach(async () => {
  await page.context().close();
  const expected = [`a request to ${api}`, `a request to ${issuer}`];
  expect(problems.filter((problem) => !expected.some((one) => problem.startsWith(`${one}/`)))).toEqual([]);
});

async function start(colorScheme: "light" | "dark" = "light") {
  ({ page, problems } = await open(browser ?? (await launch()), site, { colorScheme }));
  // The provider's own pages have a font from elsewhere.
  await page.context().route(/^https:/, (route) => route.fulfill({ body: "" }));
  page.on("request", (request) => {
    // What the provider's pages load is not the console's.
    const at = problems.indexOf(`a request to ${request.url()}`);
    if (at >= 0 && request.frame().url().startsWith(issuer)) problems.splice(at, 1);
  });
}

const button = (name: string) => page.getByRole("button", { name, exact: true });

/** From the console's button through the provider's pages. */
async function signIn(user: string) {
  await button("Sign in").click();
  await page.getByPlaceholder("Enter any login").fill(user);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: /sign-in/i }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

async function conversation() {
  const user = `user-${newId().slice(-6)}`;
  const { id } = await client.getOrCreateConversation({ user_id: user, new: true, title: "Rain in Oslo" });
  return { user, id };
}

test("console/deploy uploads the page last, and keeps only names with a digest", () => {
  expect(calls.trim().split("\n").slice(3)).toEqual([
    "s3 sync dist/aws/assets s3://the-bucket/assets --cache-control max-age=31536000, immutable",
    "s3 cp dist/aws/icon.svg s3://the-bucket/icon.svg --cache-control no-cache",
    "s3 cp dist/aws/index.html s3://the-bucket/index.html --cache-control no-cache",
  ]);
  rmSync(join(directory, "ConsoleConfiguration"));
  expect(() => deploy({})).toThrow("has no output ConsoleConfiguration");
});

test("what is deployed has the policy of cargo dev, with the API and the provider added", async () => {
  const local = (await fetch(`${api}/console`)).headers.get("content-security-policy");
  expect(policy.replace(` ${api} ${issuer};`, ";")).toBe(local);
  await page.goto(`${site}/`);
  const written = page.locator('meta[http-equiv="Content-Security-Policy"]');
  expect(await written.getAttribute("content")).toBe(`connect-src ${api} ${issuer}`);
});

test("a link survives the sign-in, a reload keeps it, and signing out ends it at the provider, too", async () => {
  const { user, id } = await conversation();
  const link = `${site}/?${new URLSearchParams({ user, conversation: id }).toString()}`;
  await page.goto(link);
  const sent = page.waitForRequest((request) => request.url().startsWith(`${api}/`) && request.method() === "GET");
  await signIn(user);
  await page.getByRole("heading", { name: "Rain in Oslo" }).waitFor();
  await page.locator(".conversations a").waitFor();
  expect(page.url()).toBe(link);
  const [, claims = ""] = ((await (await sent).headerValue("authorization")) ?? "").replace("Bearer ", "").split(".");
  expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
    iss: issuer,
    aud: "scrollback",
    sub: user,
  });
  await page.reload();
  await page.getByRole("heading", { name: "Rain in Oslo" }).waitFor();
  await button("Sign out").click();
  await page.getByRole("button", { name: /yes, sign me out/i }).click();
  await button("Sign in").waitFor();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  // The provider has forgotten them, too.
  await button("Sign in").click();
  await page.getByPlaceholder("Enter any login").waitFor();
});

test("who has only their own conversations is shown them, with tokens that are renewed", async () => {
  lifetime = 30;
  const { user } = await conversation();
  await page.goto(`${site}/`);
  let renewals = 0;
  page.on("request", (request) => {
    if ((request.postData() ?? "").includes("grant_type=refresh_token")) renewals += 1;
  });
  await signIn(user);
  await page.locator(".conversations a").getByText("Rain in Oslo").waitFor();
  expect(new URL(page.url()).searchParams.get("user")).toBe(user);
  expect(renewals).toBeGreaterThan(0);
});

test.each(["light", "dark"] as const)("failures are named, and axe finds nothing in the %s theme", async (scheme) => {
  await page.context().close();
  await start(scheme);
  await page.goto(`${site}/`);
  await button("Sign in").waitFor();
  expect(await violations(page)).toEqual([]);
  isDown = true;
  await button("Sign in").click();
  await page.getByRole("alert").getByText("does not answer").waitFor();
  expect(await violations(page)).toEqual([]);
  expect(problems.splice(0).join("\n")).toContain("ERR_EMPTY_RESPONSE");
  isDown = false;
  await button("Sign in").click();
  await page.getByRole("link", { name: /cancel/i }).click();
  await page.getByRole("alert").getByText("did not allow it").waitFor();
});

test("an answer with another state signs nobody in", async () => {
  await page.goto(`${site}/`);
  await page.evaluate(() => {
    const attempt = { state: "mine", nonce: "n", verifier: "v".repeat(43), search: "" };
    sessionStorage.setItem("scrollback.attempt", JSON.stringify(attempt));
  });
  await page.goto(`${site}/?code=stolen&state=another&iss=${encodeURIComponent(issuer)}`);
  await page.getByRole("alert").getByText("does not belong to this sign-in").waitFor();
  expect(page.url()).toBe(`${site}/`);
  // Nor does one that nobody asked for.
  await page.goto(`${site}/?code=stolen&state=another`);
  await page.getByRole("alert").getByText("begun in another tab").waitFor();
});

test("an identity token of another sign-in signs nobody in", async () => {
  await page.route(
    (url) => url.href.startsWith(`${issuer}/auth?`),
    (route) => {
      const url = new URL(route.request().url());
      url.searchParams.set("nonce", "another");
      return route.continue({ url: url.href });
    },
  );
  await page.goto(`${site}/`);
  await signIn("ada");
  await page.getByRole("alert").getByText("does not belong to this sign-in").waitFor();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("a session that cannot be renewed ends with an offer to sign in again, and the place is kept", async () => {
  lifetime = 30;
  const { user, id } = await conversation();
  const link = `${site}/?${new URLSearchParams({ user, conversation: id }).toString()}`;
  await page.goto(link);
  await signIn(user);
  await page.getByRole("heading", { name: "Rain in Oslo" }).waitFor();
  isDown = true;
  // What API Gateway answers to a token that has ended.
  await page.route(
    (url) => url.origin === api,
    (route) => {
      const headers = { "access-control-allow-origin": site, "www-authenticate": "Bearer" };
      return route.fulfill({ status: 401, headers, json: { message: "Unauthorized" } });
    },
  );
  await page.reload();
  await page.getByRole("main").getByRole("button", { name: "Sign in" }).waitFor();
  await page.unrouteAll();
  [isDown, lifetime] = [false, 3600];
  // The provider still knows them, and asks for no password.
  await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "Rain in Oslo" }).waitFor();
  expect(page.url()).toBe(link);
  const refused = problems.splice(0).filter((problem) => !problem.includes("ERR_EMPTY_RESPONSE"));
  expect(refused.filter((problem) => problem.startsWith("Failed to load")).join("\n")).toContain("401");
});

test("signing out goes to Cognito's own address with what it wants to be told", async () => {
  told = { sign_out: `${issuer}/logout` };
  const { user } = await conversation();
  await page.goto(`${site}/`);
  await signIn(user);
  await page.locator(".conversations a").waitFor();
  // Cognito sends the browser to `logout_uri`.
  await page.route(
    (url) => url.href.startsWith(`${issuer}/logout?`),
    (route) => route.fulfill({ status: 302, headers: { location: `${site}/` } }),
  );
  const sent = page.waitForRequest((request) => request.url().startsWith(`${issuer}/logout?`));
  await button("Sign out").click();
  const asked = new URL((await sent).url()).searchParams;
  expect(Object.fromEntries(asked)).toEqual({ client_id: "console", logout_uri: `${site}/` });
  await button("Sign in").waitFor();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("a client that the provider does not know is refused there", async () => {
  told = { client_id: "unknown" };
  await page.goto(`${site}/`);
  await button("Sign in").click();
  await page.getByText("invalid_client").waitFor();
  expect(problems.splice(0).join("\n")).toContain("400");
});
