// How numbers, days and names read.

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SOURCE_WORDS = {
  human_qa: "QA form",
  survey: "survey",
  platform: "platform",
  teacher: "teacher model",
  simulated: "simulated",
};
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

function count(number) {
  return Math.round(number).toLocaleString("en-US");
}

function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** snake_case as words. */
function words(name) {
  const text = String(name).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)}%`;
}

function seconds(value) {
  if (value < 60) return `${Math.round(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min${value % 60 >= 1 ? ` ${Math.round(value % 60)} s` : ""}`;
  return `${(value / 3600).toFixed(1)} h`;
}

/** Days since 1970 as 2025-03-31. */
function isoDay(day) {
  return new Date(day * 864e5).toISOString().slice(0, 10);
}

function dayOf(iso) {
  return Math.round(Date.parse(`${iso}T00:00:00Z`) / 864e5);
}

/** Days since 1970 as 31 Mar 2025. */
function shownDay(day, withYear = true) {
  const date = new Date(day * 864e5);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${withYear ? ` ${date.getUTCFullYear()}` : ""}`;
}

function weekdayOf(day) {
  return (((day + 3) % 7) + 7) % 7; // 1 January 1970 was a Thursday
}

function mondayOf(day) {
  return day - weekdayOf(day);
}

function clock(value) {
  const whole = Math.max(0, Math.round(value));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
