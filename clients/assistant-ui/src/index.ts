export { historyAdapter, type HistoryOptions, type Thread } from "./history.js";
export { threadListAdapter, useBranchChange, type ThreadListOptions } from "./threads.js";
