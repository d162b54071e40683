// A real OpenID Connect provider (npm oidc-provider) for tests; accounts and keys change by /control.
import { createServer } from 'node:http'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import Provider from 'oidc-provider'

const { issuer, port, client, accounts: first } = JSON.parse(process.argv[2])
let accounts = first
let delay = 0
let handle

function makeKey() {
  const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })
  return { ...jwk, kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' }
}

function start() {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: client.redirectUris,
      post_logout_redirect_uris: client.logoutUris,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    }],
    jwks: { keys: [makeKey()] },
    cookies: { keys: ['tests'] },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    conformIdTokenClaims: false,
    rotateRefreshToken: true,
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    async findAccount(_ctx, id) {
      const claims = accounts[id]
      return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) }
    },
  })
  handle = provider.callback()
}

start()
createServer(async (request, response) => {
  if (request.url === '/control') {
    let body = ''
    for await (const chunk of request) body += chunk
    const wanted = JSON.parse(body)
    if (wanted.accounts) accounts = wanted.accounts
    if (wanted.delay !== undefined) delay = wanted.delay
    if (wanted.rotate) start()
    response.end('{}')
    return
  }
  if (delay) await new Promise((resolve) => setTimeout(resolve, delay))
  handle(request, response)
}).listen(port, '127.0.0.1', () => console.log('ready'))
