-- Prints wrk's counts as one line of JSON. A path that ends in `/` gets a number that no other request had.

local count = 0
local seed = tostring(os.time()) .. "-" .. tostring({}):match("0x(%x+)") .. "-"

-- without a function of this name wrk sends one prepared request again and again, which costs it less
if wrk.path:sub(-1) == "/" then
   function request()
      count = count + 1
      return wrk.format("GET", wrk.path .. seed .. count)
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"status_errors":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
