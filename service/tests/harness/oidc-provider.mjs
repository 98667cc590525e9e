// A real OpenID provider for tests: oidc-provider of npm, found in the folder NEUROCA_TEST_OIDC_PROVIDER. One client gets
// access tokens for one audience; what is in them is in its id: TENANT.ROLE.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [port] = process.argv.slice(2);
const modules = process.env.NEUROCA_TEST_OIDC_PROVIDER;
const entry = createRequire(path.join(modules, "index.js")).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(entry).href);

const client = (id) => ({
  client_id: id,
  client_secret: "secret",
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: ["acme.agent", "acme.viewer", "other.agent"].map(client),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:nca",
      getResourceServerInfo: (_, resource) => ({
        scope: "",
        audience: resource,
        accessTokenTTL: 300,
        accessTokenFormat: "jwt",
      }),
    },
  },
  extraTokenClaims: (_, token) => {
    const [tenant, role] = token.clientId.split(".");
    return { tenant, role };
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
