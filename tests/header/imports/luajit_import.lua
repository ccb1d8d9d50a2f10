-- Imports the bare header through LuaJIT's ffi, and runs a workflow of one step, written in Lua.
--
-- Arguments: the header as BLAZEN_BARE leaves it, and the shared library.
local ffi = require("ffi")

local header = assert(io.open(arg[1]))
ffi.cdef(header:read("*a"))
header:close()
local lib = ffi.load(arg[2])
local dropped = 0

local function text(pointer) return ffi.string(pointer) end

local function value_text(value)
  local length = ffi.new("size_t[1]")
  local data = lib.blazen_value_data(value, length)
  return ffi.string(data, length[0])
end

local function check(status, err)
  if status ~= lib.BLAZEN_OK then
    error(text(lib.blazen_status_name(status)) .. ": " .. text(lib.blazen_error_message(err[0], nil)))
  end
end

-- The output of a call that makes a handle. Its functions may call Lua (`calls: host`, or `drop`), and compiled code
-- must not: so this is interpreted.
local function made(kind, call, ...)
  local output, err = ffi.new(kind .. " *[1]"), ffi.new("blazen_error *[1]")
  local arguments = { ... }
  local count = select("#", ...)
  arguments[count + 1], arguments[count + 2] = output, err
  check(call(unpack(arguments, 1, count + 2)), err)
  return output[0]
end
jit.off(made, true)

local function event_name(which) return text(lib.blazen_event_name(which, nil)) end

local step = ffi.cast("blazen_step_fn", function(user_data, context, event, err)
  local result = '{"' .. text(ffi.cast("const char *", user_data)) .. '":' ..
    value_text(lib.blazen_event_value(event)) .. "}"
  local stop = event_name(lib.BLAZEN_EVENT_STOP)
  return lib.blazen_context_emit_json(context, stop, #stop, result, #result, err)
end)
local drop = ffi.cast("blazen_drop_fn", function() dropped = dropped + 1 end)

local greeting = ffi.new("char[6]", "hello")

local function workflow()
  local builder = made("blazen_workflow_builder", lib.blazen_workflow_builder_create, "greet", 5)
  local start, err = event_name(lib.BLAZEN_EVENT_START), ffi.new("blazen_error *[1]")
  check(lib.blazen_workflow_builder_add_step(builder, "greet", 5, start, #start, step, greeting, drop, err), err)
  local built = made("blazen_workflow", lib.blazen_workflow_builder_build, builder)
  lib.blazen_workflow_builder_release(builder)
  return built
end
jit.off(workflow, true)

-- Steps run on this thread: Lua has no other.
local function main()
  local greet = workflow()
  local options = ffi.new("blazen_runtime_options")
  options.struct_size, options.mode = ffi.sizeof(options), lib.BLAZEN_MODE_PUMP
  local runtime = made("blazen_runtime", lib.blazen_runtime_create, options)
  local value = made("blazen_value", lib.blazen_value_json, '"luajit"', 8)
  local result = made("blazen_value", lib.blazen_workflow_run, greet, runtime, value)
  local answer = value_text(result)
  lib.blazen_value_release(result)
  lib.blazen_value_release(value)
  lib.blazen_runtime_release(runtime)
  lib.blazen_workflow_release(greet)
  print(table.concat({ text(lib.blazen_version()), answer, "dropped", dropped, lib.BLAZEN_FOREVER,
    lib.BLAZEN_NAME_BYTES_MAX, lib.BLAZEN_STEP_TIMEOUT_MS_MAX, lib.BLAZEN_UNTIL_ASKING,
    event_name(lib.BLAZEN_EVENT_STOP) }, " "))
end
jit.off(main, true)

main()
