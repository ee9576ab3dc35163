
"use strict";
// Numbers for people: aligned, with units, never more digits than are read.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < SIZES.length - 1) { value /= 1024; unit++; }
  return value.toFixed(unit && value < 100 ? 1 : 0) + "\u202f" + SIZES[unit];
}

function rate(value) { return bytes(value) + "/s"; }

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return whole + "\u202fs";
  if (whole < 3600) return Math.floor(whole / 60) + "\u202fmin " + String(whole % 60).padStart(2, "0") + "\u202fs";
  if (whole < 86400) return Math.floor(whole / 3600) + "\u202fh " + String(Math.floor(whole % 3600 / 60)).padStart(2, "0") + "\u202fmin";
  return Math.floor(whole / 86400) + "\u202fd " + Math.floor(whole % 86400 / 3600) + "\u202fh";
}

function count(value) { return value.toLocaleString("en"); }

function percent(share) { return Math.floor(100 * Math.min(1, Math.max(0, share))); }

function several(number, one, more) { return count(number) + " " + (number === 1 ? one : more); }
