/* global fetch */
/** Makes the screenshots in docs/: `npm run screenshots -w console`, while `cargo dev` runs at SCROLLBACK_URL. */
import { writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const base = process.env["SCROLLBACK_URL"] ?? "http://127.0.0.1:9000";
const USER = "screenshots";

async function post(path, body, method = "POST") {
  const headers = { "content-type": "application/json" };
  const response = await fetch(base + path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

const call = (id, name, fields) => ({
  role: "assistant",
  content: null,
  tool_calls: [{ id, type: "function", function: { name, arguments: JSON.stringify(fields) } }],
});
const result = (tool_call_id, content) => ({
  role: "tool",
  tool_call_id,
  content: JSON.stringify(content),
});

const MESSAGES = [
  { role: "system", content: "You help guests of a hotel in Bergen. Be brief. Use metric units.", token_count: 16 },
  { role: "user", content: "Is there a boat to Flåm on Saturday?", token_count: 10 },
  call("c1", "search_boats", { from: "Bergen", to: "Flåm", date: "2026-06-06" }),
  result("c1", { boats: [{ leaves: "08:00", arrives: "13:25", seats: 14, price: 1150 }] }),
  {
    role: "assistant",
    content: "Yes, one: it leaves at **08:00** and arrives at **13:25**. 14 seats are left.",
    token_count: 27,
  },
  { role: "user", content: "How do we get back the same day?", token_count: 9 },
  call("c2", "search_trains", { from: "Flåm", to: "Bergen", after: "13:25" }),
  result("c2", {
    trains: ["14:40 by Myrdal 15:41, 17:57", "16:05 by Myrdal 17:03, 19:12"],
  }),
  {
    role: "assistant",
    content:
      "By train, with a change in Myrdal:\n\n| leaves | change | arrives |\n|---|---|---|\n| 14:40 | 15:41 | 17:57 |\n| 16:05 | 17:03 | 19:12 |\n\nThe later one leaves you **2 h 40 min** in Flåm.",
    token_count: 71,
  },
  { role: "user", content: "The later one, please. Two adults.", token_count: 9 },
  call("c3", "book", { boat: "08:00", train: "16:05", adults: 2 }),
];

for (const [title, messages] of [
  ["Late checkout", 4],
  ["Allergies at breakfast", 6],
  ["Invoice for room 214", 2],
  ["Parking for an electric car", 5],
]) {
  const { id } = await post("/conversations", { user_id: USER, new: true, title });
  await post(`/conversations/${id}/messages`, { messages: MESSAGES.slice(0, messages) });
  if (title === "Allergies at breakfast") await post(`/conversations/${id}`, { pinned: true }, "PATCH");
}
const { id } = await post("/conversations", { user_id: USER, new: true, title: "Boat to Flåm and back" });
await post(`/conversations/${id}/messages`, { messages: MESSAGES });

const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu"],
});
for (const colorScheme of ["light", "dark"]) {
  const page = await browser.newPage({ viewport: { width: 1240, height: 720 }, colorScheme });
  await page.goto(`${base}/console?user=${USER}&conversation=${id}`);
  await page.locator("article").first().waitFor({ timeout: 120_000 });
  await page.keyboard.press("c");
  const slider = page.getByRole("slider", { name: "Messages at most" });
  await slider.focus();
  for (let stop = 0; stop < 5; stop++) await page.keyboard.press("ArrowLeft");
  await page.locator("article .fate").first().waitFor();
  await page.locator("details.call summary").nth(1).click();
  await page.locator("details.call pre").first().waitFor();
  await page.getByRole("heading", { level: 1 }).click();
  await page.waitForLoadState("networkidle").catch(() => undefined);
  writeFileSync(new URL(`../docs/console-${colorScheme}.png`, import.meta.url), await page.screenshot());
  await page.close();
}
await browser.close();
await fetch(`${base}/users/${USER}`, { method: "DELETE" });
