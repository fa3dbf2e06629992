export { historyAdapter, type HistoryOptions, type Thread } from "./history.js";
export { threadListAdapter, type ThreadListOptions } from "./threads.js";
