/** A package in an empty folder, as its README says that it is installed. Other packages' tests use it, too. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));

/** Runs the README's commands for `~/app`, and then the work in that folder. It is a new one, outside of the checkout. */
export async function installed<T>(readme: string, work: (folder: string) => T | Promise<T>): Promise<T> {
  const commands = /```sh\n(npm ci .*?)```/s.exec(readFileSync(readme, "utf8"))?.[1];
  if (commands === undefined) throw new Error(`${readme} does not say how to install the package`);
  const folder = mkdtempSync(join(tmpdir(), "scrollback-installed-"));
  try {
    // The check has done the first one already.
    const script = commands.replace(/^npm ci .*\n/, "").replaceAll("~/app", folder);
    execFileSync("bash", ["-euc", script], { cwd: PROJECT, stdio: "pipe" });
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a program prints that Node runs in the folder. */
export function printed(folder: string, program: string): string {
  return execFileSync("node", [program], { cwd: folder, stdio: "pipe" }).toString();
}
